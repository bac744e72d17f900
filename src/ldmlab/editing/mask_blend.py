"""Mask-based editing, the baseline that needs the user to paint where: outside a mask the target is the source.

Shapes: N pictures or pairs, fH x fW pixels, C x H x W latents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ldmlab.attention.control import AttentionSite
from ldmlab.editing.composite import check_feather, composite, latent_mask
from ldmlab.editing.demands import check_mask, fitting_image, given_mask, leave_something, refuse
from ldmlab.editing.inpaint import filled
from ldmlab.editing.method import Edited, EditMethod, EditTask, Row
from ldmlab.editing.redraw import Redraw
from ldmlab.guidance.base import Guidance
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.base import Sampler


class MaskBlend(EditMethod):
    """A picture drawn from `source` and one from `target`, blended after each step; or a given picture, blended with
    the drawing of `target` (blended diffusion, Avrahami et al. 2022).

    Args:
        feather: see `composite`.

    Raises:
        ValueError: the feather is negative.
    """

    def __init__(self, feather: int = 0) -> None:
        check_feather(feather)
        self.feather = feather

    def edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`."""
        if task.target is None:
            raise ValueError("target=null: method=mask_blend draws it inside the mask; say what to draw")
        if task.image is not None:
            refuse(task, "mask_blend", source="the picture is given, so leave it out")
            image = fitting_image(task, "mask_blend")
            mask = given_mask(task, "mask_blend", image.shape[-2:])
            leave_something(mask, "use method=fixed_seed")
            after, note = filled(task, image, mask, Redraw(), self.feather)
            return Edited(Row("image", image[None]), [Row(task.target, after)], [note])
        return self._drawn(task, task.target)

    def _drawn(self, task: EditTask, target: str) -> Edited:
        if task.source is None:
            raise ValueError(
                "source=null: method=mask_blend needs a picture; give source=PROMPT to draw it, or image=FILE"
            )
        size = [side * task.model.autoencoder.factor for side in task.model.latent_shape[1:]]
        mask = given_mask(task, "mask_blend", size)
        source, wanted = (task.model.conditioner.batch([prompt] * len(task.seeds)) for prompt in (task.source, target))
        before, after = mask_blend(
            task.model, source, wanted, mask, task.seeds, task.sampler, task.guidance, self.feather, task.batch_size
        )
        return Edited(Row(task.source, before), [Row(target, after)])


def mask_blend(
    model: LatentDiffusion,
    source: Mapping[str, Sequence[Any]],
    target: Mapping[str, Sequence[Any]],
    mask: Bool[Tensor, "*N fH fW"],
    seeds: Sequence[int],
    sampler: Sampler,
    guidance: Guidance,
    feather: int = 0,
    batch_size: int = 64,
) -> tuple[UInt8[Tensor, "N 3 fH fW"], UInt8[Tensor, "N 3 fH fW"]]:
    """The pictures of `source`, and those of `target` inside the mask, drawn side by side from the same noise.

    Args:
        model: the parts.
        source: see `LatentDiffusion.sample_pairs`.
        target: the same.
        mask: True where the target may differ; one, or one for each pair.
        seeds: N of them.
        sampler: the method.
        guidance: the method.
        feather: see `composite`.
        batch_size: pairs at once on a GPU.

    Raises:
        ValueError: the mask is of another size than the pictures, or marks no pixel.
    """
    check_mask(mask, [side * model.autoencoder.factor for side in model.latent_shape[1:]])
    inside = latent_mask(mask, model.autoencoder.factor)

    def control(rows: Sequence[int]) -> OutsideStays:
        return OutsideStays(inside if len(inside) == 1 else inside[list(rows)])

    before, drawn = model.sample_pairs(source, target, seeds, sampler, guidance, control, batch_size)
    return before, composite(drawn, before, mask, feather)


class OutsideStays:
    """An attention control that wants no site: after each step the target's latents outside are the source's."""

    def __init__(self, inside: Bool[Tensor, "#P 1 H W"]) -> None:
        self.inside = inside

    def wants(self, site: AttentionSite) -> bool:
        """None is wanted."""
        return False

    def edit(self, probs: Float[Tensor, "P2 h N M"], site: AttentionSite) -> Float[Tensor, "P2 h N M"]:
        """Never called, because no site is wanted."""
        return probs

    def before_step(self, step: int) -> None:
        """Nothing."""

    def after_step(self, step: int, latents: Float[Tensor, "P2 C H W"]) -> Float[Tensor, "P2 C H W"]:
        """The source, and the target inside the mask."""
        source, target = latents.chunk(2)
        return torch.cat([source, torch.where(self.inside.to(latents.device), target, source)])
