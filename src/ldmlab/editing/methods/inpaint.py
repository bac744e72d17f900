"""Inpainting with any model: a hole in a given picture is drawn anew, the rest stays to the last bit."""

from __future__ import annotations

from jaxtyping import Bool, UInt8
from torch import Tensor

from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, SheetRow
from ldmlab.editing.methods.demands import check_mask, leave_something, prompts, title
from ldmlab.editing.regions.composite import check_feather, composite
from ldmlab.editing.regions.fill import harmonic_fill
from ldmlab.editing.regions.redraw import Redraw, redraw
from ldmlab.editing.regions.section import Section, section
from ldmlab.editing.regions.windows import check_overlap


class Inpaint(EditMethod):
    """Blending at each step with resampling (RePaint). Reads `image`, `mask` and `target`, which may be null.

    Args:
        resample: times that each stretch of steps is made; 1 never jumps back.
        jump: steps of a stretch.
        feather: width in pixels, inside the mask, over which the drawn picture passes into the known one.
        overlap: least share of a side that windows have in common, where a picture is larger than the model's own.

    Raises:
        ValueError: a setting is out of its range.
    """

    needs = frozenset({"image", "mask"})
    takes = frozenset({"target"})
    keeps_size = True

    def __init__(self, resample: int = 5, jump: int = 5, feather: int = 0, overlap: float | None = None) -> None:
        check_feather(feather)
        check_overlap(overlap)
        self.settings = Redraw(resample, jump)
        self.feather = feather
        self.overlap = overlap

    def _edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`."""
        image, mask = given(task)
        leave_something(mask, "use `ldmlab sample`, or method=sdedit to keep its layout")
        after, note = filled(task, image, mask, self.settings, self.feather, self.overlap)
        return Edited(SheetRow("image", image[None]), [SheetRow(title(task), after)], [note])


def given(task: EditTask) -> tuple[UInt8[Tensor, "3 fH fW"], Bool[Tensor, "fH fW"]]:
    """The picture and the mask, checked.

    Raises:
        ValueError: the mask is of another size than the picture, or marks nothing.
    """
    check_mask(task.changeable, task.picture.shape[-2:])
    return task.picture, task.changeable


def filled(
    task: EditTask,
    image: UInt8[Tensor, "3 fH fW"],
    mask: Bool[Tensor, "fH fW"],
    settings: Redraw,
    feather: int,
    overlap: float | None,
) -> tuple[UInt8[Tensor, "N 3 fH fW"], str]:
    """The picture with its hole drawn once for each seed, and a line on what was kept.

    The encoder is shown a smooth surface in place of the hole, because latents beside it would tell what was there.
    """
    part = section(task.model, image.shape[-2:], mask, overlap)
    tell_windows(task, part)
    inside = part.cut_mask(mask)
    surface = harmonic_fill(part.cut(image[None])[0], inside)[None]
    drawn = drawn_anew(task, part, surface, inside, settings)
    away = sum(float((each.float() - surface[0].float()).abs()[:, ~inside].mean()) for each in drawn) / len(drawn)
    note = (
        f"{mask.float().mean():.0%} of the pixels drawn; all others are the image's (before they were put back, "
        f"{away:.1f} of 255 away on average)"
    )
    return part.put_back(composite(drawn, surface, inside, feather), image[None]), note


def drawn_anew(
    task: EditTask,
    part: Section,
    pictures: UInt8[Tensor, "#N 3 sH sW"],
    inside: Bool[Tensor, "*N sH sW"] | None,
    settings: Redraw,
) -> UInt8[Tensor, "N 3 sH sW"]:
    """A section of pictures as `redraw` makes it."""
    windows = part.windows if part.of > 1 else None
    return redraw(task.model, task.drawing, pictures, inside, prompts(task), settings, windows)


def tell_windows(task: EditTask, part: Section) -> None:
    """Say how a picture is drawn that is not of the model's size."""
    size, grid = part.size, tuple(cells * part.factor for cells in task.model.latent_shape[1:])
    if part.of > 1:
        drawn = "" if len(part.windows) == part.of else f", of which {len(part.windows)} are drawn"
        task.tell(f"{size[0]} x {size[1]} pixels: {part.of} windows of the model's {grid[0]} x {grid[1]}{drawn}")
    elif size != grid:
        task.tell(f"{size[0]} x {size[1]} pixels: drawn on the model's {grid[0]} x {grid[1]}, and cut out of it")
