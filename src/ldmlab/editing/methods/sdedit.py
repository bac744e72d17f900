"""SDEdit (Meng et al. 2022): a picture is noised part of the way and denoised under the target prompt."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import UInt8
from torch import Tensor

from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, Row
from ldmlab.editing.methods.demands import check_mask, prompts, refuse_both, require_size, title
from ldmlab.editing.regions.composite import check_feather, composite
from ldmlab.editing.regions.redraw import Redraw, redraw


class SDEdit(EditMethod):
    """Keeps the layout and colours of a photo, of strokes, or of a picture drawn from `source`, and changes the rest.

    Args:
        strength: share of the sampler's steps that are made, in (0, 1]; the image is noised to where they begin.
        strength_grid: strengths to try, one row each, in place of `strength`.
        feather: see `composite`; used where there is a mask.
        overlap: see `windowed`; only a picture larger than the model's own has windows.

    Raises:
        ValueError: a setting is out of its range.
    """

    takes = frozenset({"image", "source", "target", "mask"})

    def __init__(
        self,
        strength: float = 0.6,
        strength_grid: Sequence[float] | None = None,
        feather: int = 0,
        overlap: float = 0.5,
    ) -> None:
        check_feather(feather)
        if strength_grid is not None and not strength_grid:
            raise ValueError("strength_grid=[]: give at least one strength, or null for strength alone")
        strengths = [strength] if strength_grid is None else strength_grid
        self.settings = [Redraw(strength=each, overlap=overlap) for each in strengths]
        self.feather = feather

    def _edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`."""
        before, shows = _before(task)
        mask, batch = task.mask, prompts(task)
        if mask is not None:
            check_mask(mask, before.shape[-2:])

        def after(settings: Redraw) -> UInt8[Tensor, "N 3 fH fW"]:
            drawn = redraw(
                task.model, before, mask, batch, task.seeds, task.sampler, task.guidance, settings, task.batch_size
            )
            return drawn if mask is None else composite(drawn, before, mask, self.feather)

        rows = [Row(f"strength {settings.strength:g}: {title(task)}", after(settings)) for settings in self.settings]
        return Edited(Row(shows, before), rows)


def _before(task: EditTask) -> tuple[UInt8[Tensor, "#N 3 fH fW"], str]:
    """The picture that is given, or one drawn for each seed."""
    if task.image is not None:
        refuse_both(task)
        require_size(task.model, task.image.shape[-2:], "image")
        return task.image[None], "image"
    sources = task.prompts("source")
    return task.draw(sources), sources[0]
