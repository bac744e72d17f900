"""Inpainting with any model: a hole in a given picture is drawn anew, the rest stays to the last bit."""

from __future__ import annotations

from jaxtyping import Bool, UInt8
from torch import Tensor

from ldmlab.editing.composite import check_feather, composite
from ldmlab.editing.demands import fitting_image, given_mask, leave_something, prompts, refuse
from ldmlab.editing.fill import harmonic_fill
from ldmlab.editing.method import Edited, EditMethod, EditTask, Row
from ldmlab.editing.redraw import Redraw, redraw


class Inpaint(EditMethod):
    """Blending at each step with resampling (RePaint). Reads `image`, `mask` and `target`, which may be null.

    Args:
        resample: see `Blended`.
        jump: see `Blended`.
        feather: see `composite`.
        overlap: see `windowed`; only a picture larger than the model's own has windows.
    """

    def __init__(self, resample: int = 5, jump: int = 5, feather: int = 0, overlap: float = 0.5) -> None:
        check_feather(feather)
        self.settings = Redraw(resample, jump, overlap=overlap)
        self.feather = feather

    def edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`."""
        refuse(task, "inpaint", source="say in target what to draw")
        image = fitting_image(task, "inpaint")
        mask = given_mask(task, "inpaint", image.shape[-2:])
        leave_something(mask, "use `ldmlab sample`, or method=sdedit to keep its layout")
        title = task.target or "no prompt"
        after, note = filled(task, image, mask, self.settings, self.feather)
        return Edited(Row("image", image[None]), [Row(title, after)], [note])


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
