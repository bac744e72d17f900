"""SDEdit (Meng et al. 2022): a picture is noised part of the way and denoised under the target prompt."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import UInt8
from torch import Tensor

from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, SheetRow
from ldmlab.editing.methods.demands import check_mask, refuse_both, title
from ldmlab.editing.methods.inpaint import drawn_anew, tell_windows
from ldmlab.editing.regions.composite import check_feather, composite
from ldmlab.editing.regions.redraw import Redraw
from ldmlab.editing.regions.section import section
from ldmlab.editing.regions.windows import check_overlap


class SDEdit(EditMethod):
    """Keeps the layout and colours of a photo, of strokes, or of a picture drawn from `source`, and changes the rest.

    Args:
        strength: share of the sampler's steps that are made, in (0, 1]; the image is noised to where they begin.
        strength_grid: strengths to try, one row each, in place of `strength`.
        feather: width in pixels, inside the mask, over which the drawn picture passes into the known one.
        overlap: least share of a side that windows have in common, where a picture is larger than the model's own.

    Raises:
        ValueError: a setting is out of its range.
    """

    takes = frozenset({"image", "source", "target", "mask"})
    keeps_size = True

    def __init__(
        self,
        strength: float = 0.6,
        strength_grid: Sequence[float] | None = None,
        feather: int = 0,
        overlap: float | None = None,
    ) -> None:
        check_feather(feather)
        check_overlap(overlap)
        if strength_grid is not None and not strength_grid:
            raise ValueError("strength_grid=[]: give at least one strength, or null for strength alone")
        strengths = [strength] if strength_grid is None else strength_grid
        self.settings = [Redraw(strength=each) for each in strengths]
        self.feather = feather
        self.overlap = overlap

    def _edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`."""
        before, shows = _before(task)
        mask = task.mask
        if mask is not None:
            check_mask(mask, before.shape[-2:])
        elif self.feather:
            raise ValueError(f"feather={self.feather}: there is no mask, so no rim; give mask=PATH, or leave it out")
        part = section(task.model, before.shape[-2:], mask, self.overlap)
        tell_windows(task, part)
        known, inside = part.cut(before), None if mask is None else part.cut_mask(mask)

        def after(settings: Redraw) -> UInt8[Tensor, "N 3 fH fW"]:
            drawn = drawn_anew(task, part, known, inside, settings)
            return part.put_back(drawn if inside is None else composite(drawn, known, inside, self.feather), before)

        rows = [
            SheetRow(f"strength {settings.strength:g}: {title(task)}", after(settings)) for settings in self.settings
        ]
        return Edited(SheetRow(shows, before), rows)


def _before(task: EditTask) -> tuple[UInt8[Tensor, "#N 3 fH fW"], str]:
    """The picture that is given, or one drawn for each seed."""
    if task.image is not None:
        refuse_both(task)
        return task.image[None], "image"
    sources = task.prompts("source")
    return task.draw(sources), sources[0]
