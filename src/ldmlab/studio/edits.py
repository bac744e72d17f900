"""Edited pictures in a folder, each with its settings, and a contact sheet with one row an edit.

Shapes: H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, UInt8
from PIL import Image
from torch import Tensor

from ldmlab.drawing.drawing import Drawing
from ldmlab.editing.methods.base import Edited, EditMethod, EditTask
from ldmlab.editing.methods.parts import AT_ONCE, edited_parts
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.pictures.contact_sheet import contact_sheet, to_pil
from ldmlab.pictures.png import write_png
from ldmlab.pictures.reading import fit_mask, fit_picture
from ldmlab.pictures.series import picture_record
from ldmlab.progress import passes

Tell = Callable[[str], None]
Picture = UInt8[Tensor, "3 H W"]
Mask = Bool[Tensor, "H W"]


@dataclass(frozen=True)
class EditRecord:
    """What the files say of how their pictures were made, in plain data.

    Attributes:
        drawing: see `drawing_record`.
        method: the method's settings, with its `_target_`.
        source: prompt of the picture before the edit, if any.
        target: prompt of the edited one; None stands for the source's.
        image: what names the picture that was given, if one was.
        mask: what names the mask, if there was one.
    """

    drawing: Mapping[str, Any]
    method: Mapping[str, Any]
    source: str | None = None
    target: str | None = None
    image: Any = None
    mask: Any = None

    @property
    def of_all(self) -> dict[str, Any]:
        """What the contact sheet of all edits says of how they were made."""
        given = {"source": self.source, "target": self.shown, "image": self.image, "mask": self.mask}
        return {**given, "method": dict(self.method), **self.drawing}

    @property
    def shown(self) -> str | None:
        """The prompt of the edited pictures, if there is one."""
        return self.target or self.source

    def before(self, index: int) -> dict[str, Any]:
        """What the file of a picture before the edit says.

        One that is drawn from `source` is that of `ldmlab sample`, to the last bit of its file.
        """
        if self.image is not None:
            return {"index": index, **self.of_all}
        return picture_record(self.drawing, self.source, index)

    def after(self, index: int, title: str) -> dict[str, Any]:
        """What the file of an edited picture says, in the row of that title."""
        return {"prompt": self.shown, "index": index, "row": title, **self.of_all}


def edit_task(
    model: LatentDiffusion,
    drawing: Drawing,
    method: EditMethod,
    source: str | None = None,
    target: str | None = None,
    image: Picture | None = None,
    mask: Mask | None = None,
    tell: Tell = print,
) -> EditTask:
    """What is to be edited, with picture and mask at the size at which the method takes them.

    Args:
        model: the parts.
        drawing: how; a seed for each of the edits.
        method: that is to edit.
        source: see `EditTask.sources`.
        target: see `EditTask.targets`.
        image: the picture to edit, of any size.
        mask: True where it may change, of the picture's size.
        tell: called with a line where a picture is cropped and scaled, and with what the method tells.

    Raises:
        ValueError: a prompt that the model cannot read.
    """
    sources, targets = (None if text is None else [text] * len(drawing.seeds) for text in (source, target))
    for prompts in filter(None, (sources, targets)):
        model.conditioner.batch(prompts[:1])
    if image is None or not method.keeps_size:
        image, mask = _fitted(image, mask, model.latent_shape[1] * model.autoencoder.factor, tell)
    return EditTask(model, drawing, sources, targets, image, mask, tell)


def _fitted(image: Picture | None, mask: Mask | None, side: int, tell: Tell) -> tuple[Picture | None, Mask | None]:
    """Both at the model's size, and a line where that is not their own."""
    for key, given in (("image", image), ("mask", mask)):
        if given is not None and given.shape[-2:] != (side, side):
            rows, columns = given.shape[-2:]
            tell(f"{key}: {rows} x {columns} pixels; its centre is taken, scaled to the model's {side} x {side}")
    return (
        None if image is None else fit_picture(image, side),
        None if mask is None else fit_mask(mask, side),
    )


def write_edits(folder: Path, method: EditMethod, task: EditTask, record: EditRecord, tell: Tell = print) -> None:
    """Edit for each seed, and write the pictures as they are drawn and a contact sheet of the first ones.

    Args:
        folder: where they go; made where it is missing.
        method: that edits.
        task: what, with networks that compute as its drawing says.
        record: what the files say.
        tell: called with a line at a time: where the sheet is, and the method's notes.

    Raises:
        ValueError: see `EditMethod.edit`.
    """
    notes: Sequence[str] = ()
    for first, edited in _drawn(method, task):
        write_part(folder, edited, record, first)
        if first == 0:
            write_png(folder / "contact_sheet.png", edit_sheet(edited), record.of_all)
            notes = edited.notes  # of others they differ by little more than their last digit
    note = f" (the first {AT_ONCE} of {len(task.drawing.seeds)} seeds)" if first else ""
    tell(f"contact sheet: {folder / 'contact_sheet.png'}{note}")
    for line in notes:
        tell(line)


def _drawn(method: EditMethod, task: EditTask) -> Iterator[tuple[int, Edited]]:
    """See `edited_parts`, with its progress."""
    with passes(task.model.denoiser.backbone, "drawing"), task.drawing.arithmetic():
        yield from edited_parts(method, task)


def write_part(folder: Path, edited: Edited, record: EditRecord, first: int = 0) -> None:
    """Write edits with their settings, numbered from `first` on: `00000_source.png`, `00000_edit.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    given = record.image is not None  # one picture for all seeds
    for number, picture in enumerate(edited.before.pictures if first == 0 or not given else (), first):
        write_png(folder / f"{number:05d}_source.png", to_pil(picture), record.before(number))
    for row, edits in enumerate(edited.after):
        kind = "edit" if len(edited.after) == 1 else f"edit_{row}"
        for number, picture in enumerate(edits.pictures, first):
            write_png(folder / f"{number:05d}_{kind}.png", to_pil(picture), record.after(number, edits.title))


def edit_sheet(edited: Edited, columns: int = AT_ONCE) -> Image.Image:
    """A contact sheet of the first edits, one row a kind; a picture that stands for all seeds is repeated.

    Args:
        edited: what a method made.
        columns: most seeds that are shown.
    """
    rows = [edited.before, *edited.after]
    columns = min(columns, max(len(row.pictures) for row in rows))
    pictures = [row.pictures[:columns].expand(columns, -1, -1, -1) for row in rows]
    return contact_sheet(torch.cat(pictures), [row.title for row in rows for _ in range(columns)], columns)
