"""Drawing part of a picture anew, which masked editing, uncropping and SDEdit have in common.

Shapes: N pictures, fH x fW pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ldmlab.diffusion.process import add_noise
from ldmlab.drawing.conditions import Batch, Subject
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.loop import draw
from ldmlab.drawing.sampling_plan import SamplingPlan
from ldmlab.editing.regions.blended import BlendedSampler, check_resampling
from ldmlab.editing.regions.composite import latent_mask
from ldmlab.editing.regions.windows import Window, windowed
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion


@dataclass(frozen=True)
class Redraw:
    """How what is inside a mask is drawn.

    Attributes:
        resample: times that each stretch of steps is made; 1 never jumps back.
        jump: steps of a stretch.
        strength: None to start from pure noise; otherwise the share of the steps that are made, from the picture noised
            to where they begin (SDEdit, Meng et al. 2022).

    Raises:
        ValueError: a count below 1, or a strength outside (0, 1].
    """

    resample: int = 1
    jump: int = 1
    strength: float | None = None

    def __post_init__(self) -> None:
        check_resampling(self.resample, self.jump)
        if self.strength is not None and not 0 < self.strength <= 1:
            raise ValueError(
                f"strength={self.strength}: a share of the steps above 0 and up to 1; the more, the freer of the image"
            )

    def first_step(self, steps: int) -> int:
        """The step that the run begins with; at least one is made."""
        return 0 if self.strength is None else steps - max(1, round(self.strength * steps))


def redraw(
    model: LatentDiffusion,
    drawing: Drawing,
    pictures: UInt8[Tensor, "#N 3 fH fW"],
    mask: Bool[Tensor, "*N fH fW"] | None,
    batch: Batch | None,
    settings: Redraw,
    windows: Sequence[Window] | None = None,
) -> UInt8[Tensor, "N 3 fH fW"]:
    """Draw what is inside the mask, as decoded: the known pixels went through the autoencoder, see `composite`.

    Args:
        model: the parts.
        drawing: how; the sampler makes the steps.
        pictures: one for each seed, or one for all; inside the mask too, since an encoder looks at neighbours and
            `strength` starts from it.
        mask: True inside; one, or one for each seed. None for everywhere.
        batch: what the conditioner reads; None for the null condition, without guidance.
        settings: how the inside is drawn.
        windows: of a canvas that is not the model's grid, see `windowed`: at least those over the mask.
    """
    with drawing.running(model):
        known = model.encode(pictures)
    inside = None if mask is None else latent_mask(mask, model.autoencoder.factor).to(known.device)
    shape = (known.shape[1], known.shape[2], known.shape[3])

    def redrawn(plan: SamplingPlan) -> SamplingPlan:
        latents = of_rows(known, plan.rows)
        if settings.strength is not None:
            plan = _noised(plan, latents, settings.first_step(len(plan.levels) - 1))
        if inside is not None:
            where = of_rows(inside, plan.rows)
            blended = BlendedSampler(plan.sampler, latents, where, settings.resample, settings.jump)
            plan = replace(plan, sampler=blended)
        return plan if windows is None else replace(plan, around=partial(windowed, windows=windows))

    if batch is None:
        drawing = replace(drawing, guidance=NoGuidance())
    (drawn,) = draw(model, drawing, [Subject(batch)], redrawn, latent_shape=shape)
    return drawn


def _noised(plan: SamplingPlan, latents: Float[Tensor, "#B C H W"], first: int) -> SamplingPlan:
    """A plan that begins with a later step, from known latents noised to where that is."""
    levels = plan.levels[first:]
    return replace(plan, levels=levels, x=add_noise(latents.expand_as(plan.x), plan.x, levels[0]))


def of_rows(each: Tensor, rows: Sequence[int]) -> Tensor:
    """The entries of `each` that belong to some rows of a batch; a single entry belongs to all."""
    return each if len(each) == 1 else each[list(rows)]
