"""Pictures drawn by a model that is conditioned on a picture: super-resolution, colorization, inpainting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ldmlab.conditioners.image import ImageConditioner
from ldmlab.conditioners.none import NoCondition
from ldmlab.drawing.samples import sample
from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, SheetRow
from ldmlab.models.latent_diffusion import to_uint8


class ImageToImage(EditMethod):
    """Draws what the model's task makes of a user's picture; known pixels of it stay, to the bit.

    The row before shows the naive answer: the small picture enlarged, the grey picture, the hole in a mean colour. A
    model that reads text is told the target, or the empty prompt.
    """

    needs = frozenset({"image"})
    takes = frozenset({"mask", "target"})
    keeps_size = True

    def _edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`."""
        conditioner = task.model.conditioner
        if not isinstance(conditioner, ImageConditioner):
            raise ValueError(
                "method=image_to_image: this model draws from no picture; give ckpt= of one trained with "
                "conditioner=inpainting, colorization or super_resolution"
            )
        given = conditioner.given(task.picture, task.mask)
        before = to_uint8(conditioner.naive(given)).cpu()
        count = len(task.drawing.seeds)
        batch = {key: value.expand(count, *value.shape[1:]) for key, value in given.items()}
        whole: dict[str, Any] = {**batch, **_prompts(conditioner, task.targets, count)}
        drawn = sample(task.model, task.drawing, whole)
        after = SheetRow("drawn" if task.targets is None else task.targets[0], conditioner.finish(batch, drawn))
        return Edited(SheetRow(conditioner.shows, before), [after])


def _prompts(conditioner: ImageConditioner, targets: Sequence[str] | None, count: int) -> dict[str, Any]:
    """What the model reads besides the picture."""
    if not isinstance(conditioner.text, NoCondition):
        return conditioner.batch([""] * count if targets is None else targets)
    if targets is not None:
        raise ValueError(f"target={targets[0]}: this model reads a picture and no prompt; leave it out")
    return {}
