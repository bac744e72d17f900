"""Inpainting with any model: a hole in a given picture is drawn anew, the rest stays to the last bit."""

from __future__ import annotations

from jaxtyping import Bool, UInt8
from torch import Tensor

from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, Row
from ldmlab.editing.methods.demands import check_mask, leave_something, prompts, require_size, title
from ldmlab.editing.regions.composite import check_feather, composite
from ldmlab.editing.regions.fill import harmonic_fill
from ldmlab.editing.regions.redraw import Redraw, redraw


class Inpaint(EditMethod):
    """Blending at each step with resampling (RePaint). Reads `image`, `mask` and `target`, which may be null.

    Args:
        resample: see `Blended`.
        jump: see `Blended`.
        feather: see `composite`.
        overlap: see `windowed`; only a picture larger than the model's own has windows.
    """

    needs = frozenset({"image", "mask"})
    takes = frozenset({"target"})

    def __init__(self, resample: int = 5, jump: int = 5, feather: int = 0, overlap: float = 0.5) -> None:
        check_feather(feather)
        self.settings = Redraw(resample, jump, overlap=overlap)
        self.feather = feather

    def _edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`."""
        image, mask = given(task)
        leave_something(mask, "use `ldmlab sample`, or method=sdedit to keep its layout")
        after, note = filled(task, image, mask, self.settings, self.feather)
        return Edited(Row("image", image[None]), [Row(title(task), after)], [note])


def given(task: EditTask) -> tuple[UInt8[Tensor, "3 fH fW"], Bool[Tensor, "fH fW"]]:
    """The picture and the mask, checked.

    Raises:
        ValueError: the model cannot draw the picture's size, or the mask is of another or marks nothing.
    """
    assert task.image is not None
    assert task.mask is not None
    require_size(task.model, task.image.shape[-2:], "image")
    check_mask(task.mask, task.image.shape[-2:])
    return task.image, task.mask


def filled(
    task: EditTask, image: UInt8[Tensor, "3 fH fW"], mask: Bool[Tensor, "fH fW"], settings: Redraw, feather: int
) -> tuple[UInt8[Tensor, "N 3 fH fW"], str]:
    """The picture with its hole drawn once for each seed, and a line on what was kept.

    The encoder is shown a smooth surface in place of the hole, because latents beside it would tell what was there.
    """
    surface = harmonic_fill(image, mask)[None]
    drawn = redraw(
        task.model, surface, mask, prompts(task), task.seeds, task.sampler, task.guidance, settings, task.batch_size
    )
    away = (drawn.float() - image.float()).abs()[..., ~mask].mean()
    note = (
        f"{mask.float().mean():.0%} of the pixels drawn; all others are the image's (before they were put back, "
        f"{away:.1f} of 255 away on average)"
    )
    return composite(drawn, surface, mask, feather), note
