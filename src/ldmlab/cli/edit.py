"""`ldmlab edit`: a picture, drawn or given, and the same picture edited."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor

from ldmlab.cli.computing import pick_precision, ready_to_draw
from ldmlab.cli.records import drawing_record, peak_memory, portable
from ldmlab.configs.schema import takes_mapping
from ldmlab.editing.methods.base import Edited, EditMethod, EditTask
from ldmlab.models.loading import Loaded, load_latent_diffusion
from ldmlab.pictures.contact_sheet import contact_sheet, to_pil
from ldmlab.pictures.png import write_png
from ldmlab.pictures.reading import fit_mask, fit_picture, read_mask, read_picture
from ldmlab.pictures.series import picture_record
from ldmlab.precision import Precision
from ldmlab.progress import passes
from ldmlab.samplers.noise import picture_seeds

AT_ONCE = 16
"""Seeds at least whose pictures are drawn before they are written, and most on the contact sheet."""


def run(cfg: DictConfig) -> None:
    """Edit for `n` seeds, and write the pictures and a contact sheet with one row an edit."""
    method = build_method(cfg)
    method.check({key for key in ("source", "target", "image", "mask") if cfg[key] is not None})
    image, mask = _given(cfg)
    precision = pick_precision(cfg)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema)
    task = _task(cfg, precision, method, loaded, image, mask)
    settings = _Settings(cfg, drawing_record(cfg, loaded, precision))
    folder = Path(cfg.output_dir)
    notes: Sequence[str] = ()
    with passes(task.model.denoiser.backbone, "drawing"), precision.arithmetic():
        for first, edited in edited_parts(method, task):
            _write(folder, edited, first, settings)
            if first == 0:
                write_png(folder / "contact_sheet.png", _sheet(edited), settings.of_all)
                notes = edited.notes  # of others they differ by little more than their last digit
    note = f" (the first {AT_ONCE} of {cfg.n} seeds)" if first else ""
    print(f"contact sheet: {folder / 'contact_sheet.png'}{note}")
    for line in notes:
        print(line)
    print(f"peak memory: {peak_memory(precision.device)}")


def edited_parts(method: EditMethod, task: EditTask) -> Iterator[tuple[int, Edited]]:
    """Edits of some seeds at a time, and the number of the first; one picture that stands for all comes once.

    What the method tells is told of the first ones alone.
    """
    rows = task.drawing.rows(task.model)
    at_once = -(-AT_ONCE // rows) * rows
    seeds = task.drawing.seeds
    count = len(seeds)
    for first in range(0, count, at_once):
        part = slice(first, first + at_once)
        sources, targets = (None if given is None else given[part] for given in (task.sources, task.targets))
        tell = task.tell if first == 0 else _silent
        drawing = task.drawing.of(seeds[part])
        edited = method.edit(replace(task, drawing=drawing, sources=sources, targets=targets, tell=tell))
        yield first, edited
        if count > at_once and all(len(row.pictures) == 1 for row in (edited.before, *edited.after)):
            return


def _silent(line: str) -> None:
    pass


class _Settings:
    """What the files say of how their pictures were made."""

    def __init__(self, cfg: DictConfig, drawing: Mapping[str, Any]) -> None:
        self.drawing = drawing
        self.source, self.target = cfg.source, cfg.target or cfg.source
        self.image, self.mask = (portable(cfg[key]) for key in ("image", "mask"))
        own = inspect.signature(get_object(cfg.method._target_)).parameters
        keys = {name: _plain_value(cfg[name]) for name in own if name in cfg}
        self.method = {"_target_": cfg.method._target_, **keys}

    @property
    def of_all(self) -> dict[str, Any]:
        """For the contact sheet."""
        given = {"source": self.source, "target": self.target, "image": self.image, "mask": self.mask}
        return {**given, "method": self.method, **self.drawing}

    def before(self, index: int) -> dict[str, Any]:
        """A picture that is drawn from `source` is that of `ldmlab sample`, to the last bit of its file."""
        if self.image is not None:
            return {"index": index, **self.of_all}
        return picture_record(self.drawing, self.source, index)

    def after(self, index: int, title: str) -> dict[str, Any]:
        """An edited picture, in the row of that title."""
        return {"prompt": self.target, "index": index, "row": title, **self.of_all}


def _plain_value(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def build_method(cfg: DictConfig) -> EditMethod:
    """The method of a config's `method` group, whose own keys stand beside it at the top."""
    names = inspect.signature(get_object(cfg.method._target_)).parameters
    own = {name: _value(cfg, name) for name in names if name in cfg}
    return get_object(cfg.method._target_)(**own)


def _value(cfg: DictConfig, name: str) -> Any:
    """A key as the library takes it: a component built, a list or mapping plain."""
    value = cfg[name]
    if not OmegaConf.is_config(value):
        return value
    if isinstance(value, DictConfig) and "_target_" in value:
        return instantiate(value)
    plain = OmegaConf.to_container(value, resolve=True)
    return _mapping(name, plain) if takes_mapping("edit", name) and isinstance(plain, list) else plain


def _mapping(name: str, lines: list[Any]) -> dict[str, Any]:
    """A mapping given as a list of "word: value", for words that Hydra's grammar has no key for, as "café: 2"."""
    merged: dict[str, Any] = {}
    for line in lines:
        try:
            entry = yaml.safe_load(line)
        except (yaml.YAMLError, AttributeError):
            entry = None
        if not isinstance(entry, Mapping):
            raise ValueError(f"""{name}={line}: give {{WORD: VALUE}}, or a list as '["café: 2", "big star: 0.5"]'""")
        merged |= {str(word): value for word, value in entry.items()}
    return merged


def _task(
    cfg: DictConfig,
    precision: Precision,
    method: EditMethod,
    loaded: Loaded,
    image: Tensor | None,
    mask: Tensor | None,
) -> EditTask:
    model = loaded.model
    model.to(precision.device)
    sources, targets = (None if text is None else [text] * cfg.n for text in (cfg.source, cfg.target))
    for prompts in filter(None, (sources, targets)):
        model.conditioner.batch(prompts[:1])  # refuses a prompt before anything is drawn
    drawing = ready_to_draw(cfg, model, picture_seeds(cfg.seed, cfg.n))
    if image is None or not method.own_size:
        image, mask = _fitted(image, mask, model.latent_shape[1] * model.autoencoder.factor)
    return EditTask(model, drawing, sources, targets, image, mask, print)


def _given(cfg: DictConfig) -> tuple[Tensor | None, Tensor | None]:
    """The image and the mask, of one size where there are both."""
    image = None if cfg.image is None else read_picture(cfg.image)
    mask = None if cfg.mask is None else read_mask(cfg.mask)
    if image is not None and mask is not None and image.shape[-2:] != mask.shape:
        sizes = [f"{rows} x {columns}" for rows, columns in (mask.shape, image.shape[-2:])]
        raise ValueError(f"mask={cfg.mask}: is {sizes[0]} pixels and the image {sizes[1]}; give a mask of its size")
    return image, mask


def _fitted(image: Tensor | None, mask: Tensor | None, side: int) -> tuple[Tensor | None, Tensor | None]:
    """Both at the model's size, and a line where that is not their own."""
    for key, given in (("image", image), ("mask", mask)):
        if given is not None and given.shape[-2:] != (side, side):
            rows, columns = given.shape[-2:]
            print(f"{key}: {rows} x {columns} pixels; its centre is taken, scaled to the model's {side} x {side}")
    return (
        None if image is None else fit_picture(image, side),
        None if mask is None else fit_mask(mask, side),
    )


def _write(folder: Path, edited: Edited, first: int, settings: _Settings) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    given = settings.image is not None  # one picture for all seeds
    for number, picture in enumerate(edited.before.pictures if first == 0 or not given else (), first):
        write_png(folder / f"{number:05d}_source.png", to_pil(picture), settings.before(number))
    for row, edits in enumerate(edited.after):
        kind = "edit" if len(edited.after) == 1 else f"edit_{row}"
        for number, picture in enumerate(edits.pictures, first):
            write_png(folder / f"{number:05d}_{kind}.png", to_pil(picture), settings.after(number, edits.title))


def _sheet(edited: Edited) -> Image.Image:
    """One row a kind; a picture that stands for all seeds is repeated."""
    rows = [edited.before, *edited.after]
    columns = min(AT_ONCE, max(len(row.pictures) for row in rows))
    pictures = [row.pictures[:columns].expand(columns, -1, -1, -1) for row in rows]
    return contact_sheet(torch.cat(pictures), [row.title for row in rows for _ in range(columns)], columns)
