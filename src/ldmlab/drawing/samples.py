"""Pictures as they come out of a model, one by one or in pairs.

Shapes: N pictures or pairs, f the autoencoder's factor, H x W latent grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from jaxtyping import UInt8
from torch import Tensor

from ldmlab.drawing.conditions import Batch, Subject
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.loop import draw
from ldmlab.drawing.sampling_plan import Control, SamplingPlan
from ldmlab.models.latent_diffusion import LatentDiffusion

OnStep = Callable[[int, Tensor], None]


def sample(
    model: LatentDiffusion,
    drawing: Drawing,
    batch: Batch,
    on_step: OnStep | None = None,
    negative: Batch | None = None,
    observer: Control | None = None,
) -> UInt8[Tensor, "N 3 fH fW"]:
    """Pictures for a batch of conditions, one seed each.

    Args:
        model: draws them.
        drawing: the sampler, the guidance and the seeds.
        batch: what the conditioner reads.
        on_step: called with (step, latents) after every step of all that are drawn at once.
        negative: what guidance leads away from in place of the null condition; what it lacks, such as a picture, is
            that of `batch`.
        observer: gives controls that look on, in a further pass before each that counts, so that no bit of a picture
            changes. Such a control is told when a step begins, and nothing that it returns is used.

    Raises:
        ValueError: `negative` is given and the guidance makes no use of it.
    """

    def watched(plan: SamplingPlan) -> SamplingPlan:
        plan = replace(plan, on_step=on_step or plan.on_step)
        return plan if observer is None else plan.observed(observer(plan.rows))

    (pictures,) = draw(model, drawing, [Subject(batch, negative)], watched)
    return pictures


def sample_pairs(
    model: LatentDiffusion,
    drawing: Drawing,
    source: Batch,
    target: Batch,
    control: Control,
    on_step: OnStep | None = None,
) -> tuple[UInt8[Tensor, "N 3 fH fW"], UInt8[Tensor, "N 3 fH fW"]]:
    """Two pictures from each seed, drawn side by side from the same noise, so that a control can relate them.

    Args:
        model: draws them.
        drawing: the sampler, the guidance and the seeds; both pictures of a pair share one, and the noise of stochastic
            samplers too.
        source: what the first pictures show.
        target: what the second ones show.
        control: sees the conditional passes: first the rows of `source`, then as many of `target`.
        on_step: called with (step, latents) after every step; the latents are those of both.

    Returns:
        The first pictures and the second ones.
    """

    def controlled(plan: SamplingPlan) -> SamplingPlan:
        return replace(plan, control=control(plan.rows), on_step=on_step or plan.on_step)

    first, second = draw(model, drawing, [Subject(source), Subject(target)], controlled)
    return first, second
