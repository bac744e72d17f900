"""The one loop under samples, pairs, inverted pictures and masked edits: each is a `SamplingPlan` that it runs.

Shapes: N pictures or pairs, C latent channels, H x W latent grid, f the autoencoder's factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.drawing.conditions import Conditions, Subject, conditions
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.sampling_plan import SamplingPlan
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.base import SamplerHooks
from ldmlab.samplers.noise import PictureNoise

Shape = tuple[int, int, int]


def _unchanged(plan: SamplingPlan) -> SamplingPlan:
    return plan


@torch.no_grad()
def draw(
    model: LatentDiffusion,
    drawing: Drawing,
    subjects: Sequence[Subject],
    change: Callable[[SamplingPlan], SamplingPlan] = _unchanged,
    *,
    latent_shape: Shape | None = None,
    at_once: int | None = None,
) -> list[UInt8[Tensor, "N 3 fH fW"]]:
    """Pictures of each subject, those of several drawn side by side from the same noise.

    Each picture or pair depends on its own seed and conditions alone, on a CPU to the last bit; see `Drawing.rows`.

    Args:
        model: the parts.
        drawing: the sampler, the guidance and the seeds.
        subjects: one, or as many as are drawn from each seed.
        change: gives the plan that is run in place of that of `sample`; called once for those that are drawn at once.
        latent_shape: C, H and W of the noise; the model's own if not given.
        at_once: pictures of a subject in a batch; `Drawing.rows(model)` if not given.

    Raises:
        ValueError: the conditioner cannot read a subject, the guidance makes no use of a negative that is given, or a
            decoded value is NaN or infinite.
    """
    shape, at_once = latent_shape or model.latent_shape, at_once or drawing.rows(model)
    decoded = at_once if shape == model.latent_shape else 1  # one by one where they are large
    parts = []
    with drawing.running(model):
        for rows, count in _batches(model, drawing, _beside(drawing, subjects, at_once)):
            latents = change(_unchanged_plan(model, drawing, subjects, rows, shape)).run()
            if decoded == 1:
                latents = torch.cat([side[:count] for side in latents.chunk(len(subjects))])
            pictures = torch.cat([model.decode(part).cpu() for part in latents.split(decoded)])
            parts.append([side[:count] for side in pictures.chunk(len(subjects))])
    return [torch.cat(sides) for sides in zip(*parts, strict=True)]


def _beside(drawing: Drawing, subjects: Sequence[Subject], at_once: int) -> int:
    """How many pictures of each subject: all passes are as large as those of `sample`.

    Guidance that joins its two conditions in one pass makes, under a control, two of them.
    """
    return at_once if drawing.guidance.joint else max(1, at_once // len(subjects))


def _batches(model: LatentDiffusion, drawing: Drawing, at_once: int) -> Iterator[tuple[list[int], int]]:
    """The numbers drawn at once, filled up by repeating the last where `Drawing.fills`, and how many of them count."""
    total, fill = len(drawing.seeds), drawing.fills(model)
    for start in range(0, total, at_once):
        rows = list(range(start, min(start + at_once, total)))
        yield rows + (rows[-1:] * (at_once - len(rows)) if fill else []), len(rows)


def _unchanged_plan(
    model: LatentDiffusion, drawing: Drawing, subjects: Sequence[Subject], rows: Sequence[int], shape: Shape
) -> SamplingPlan:
    """The plan of `sample`, which nothing changes."""
    noise = PictureNoise([drawing.seeds[row] for row in rows], shape, model.device)
    made = [conditions(model, drawing.guidance, subject, rows) for subject in subjects]
    return SamplingPlan(
        rows=rows,
        denoiser=model.denoiser,
        guidance=drawing.guidance,
        conditions=[Conditions.cat(made)],
        sampler=drawing.sampler,
        levels=drawing.sampler.levels(model.denoiser.schedule),
        x=torch.cat([noise.draw()] * len(subjects)),
        hooks=SamplerHooks(step_noise=partial(_shared, noise, len(subjects))),
    )


def _shared(noise: PictureNoise, subjects: int, x: Float[Tensor, "R C H W"]) -> Float[Tensor, "R C H W"]:
    """The next noise of each seed, for the pictures of all subjects."""
    return torch.cat([noise.like(x)] * subjects)
