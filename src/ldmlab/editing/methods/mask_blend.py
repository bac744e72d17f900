"""Mask-based editing, the baseline that needs the user to paint where: outside a mask the target is the source.

Shapes: N pictures or pairs, fH x fW pixels, C x H x W latents.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ldmlab.drawing.samples import sample_pairs
from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, SheetRow
from ldmlab.editing.methods.demands import check_mask, leave_something, refuse_both
from ldmlab.editing.methods.inpaint import filled, given
from ldmlab.editing.regions.composite import check_feather, composite, latent_mask
from ldmlab.editing.regions.redraw import Redraw, of_rows
from ldmlab.editing.regions.windows import check_overlap
from ldmlab.types import Uncontrolled


class MaskBlend(EditMethod):
    """A picture drawn from `source` and one from `target`, blended after each step; or a given picture, blended with
    the drawing of `target` (blended diffusion, Avrahami et al. 2022).

    Args:
        feather: width in pixels, inside the mask, over which the drawn picture passes into the known one.
        overlap: least share of a side that windows have in common, where the picture is larger than the model's own.

    Raises:
        ValueError: a setting is out of its range.
    """

    needs = frozenset({"mask", "target"})
    takes = frozenset({"image", "source"})
    keeps_size = True

    def __init__(self, feather: int = 0, overlap: float | None = None) -> None:
        check_feather(feather)
        check_overlap(overlap)
        self.feather = feather
        self.overlap = overlap

    def _edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`."""
        targets = task.prompts("target")
        if task.image is not None:
            refuse_both(task)
            image, mask = given(task)
            leave_something(mask, "use method=fixed_seed")
            after, note = filled(task, image, mask, Redraw(), self.feather, self.overlap)
            return Edited(SheetRow("image", image[None]), [SheetRow(targets[0], after)], [note])
        sources = task.prompts("source")
        if self.overlap is not None:
            raise ValueError(f"overlap={self.overlap}: a drawn picture is the model's size; leave it out")
        before, after = mask_blend(task, sources, targets, self.feather)
        return Edited(SheetRow(sources[0], before), [SheetRow(targets[0], after)])


def mask_blend(
    task: EditTask, sources: Sequence[str], targets: Sequence[str], feather: int = 0
) -> tuple[UInt8[Tensor, "N 3 fH fW"], UInt8[Tensor, "N 3 fH fW"]]:
    """The pictures of `sources`, and those of `targets` inside the mask, drawn side by side from the same noise.

    Args:
        task: how; its mask is one, or one for each pair.
        sources: N prompts.
        targets: N prompts.
        feather: width in pixels, inside the mask, over which the drawn picture passes into the known one.

    Raises:
        ValueError: the mask is of another size than the pictures, or marks no pixel.
    """
    model, mask = task.model, task.changeable
    check_mask(mask, [side * model.autoencoder.factor for side in model.latent_shape[1:]])
    inside = latent_mask(mask, model.autoencoder.factor).to(model.device)

    def control(rows: Sequence[int]) -> KeepOutside:
        return KeepOutside(of_rows(inside, rows))

    source, target = (model.conditioner.batch(prompts) for prompts in (sources, targets))
    before, drawn = sample_pairs(model, task.drawing, source, target, control)
    return before, composite(drawn, before, mask, feather)


class KeepOutside(Uncontrolled):
    """An attention control that wants no site: after each step the target's latents outside are the source's."""

    def __init__(self, inside: Bool[Tensor, "#P 1 H W"]) -> None:
        self.inside = inside

    def after_step(self, step: int, latents: Float[Tensor, "P2 C H W"]) -> Float[Tensor, "P2 C H W"]:
        """The source's latents, and the target's inside the mask with the source's around them."""
        source, target = latents.chunk(2)
        return torch.cat([source, torch.where(self.inside, target, source)])
