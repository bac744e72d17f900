"""Inpainting with any sampler: what is known is blended in after each step (Avrahami et al. 2022; Lugmayr et al. 2022).

Shapes: B batch, C x H x W latents, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ldmlab.diffusion.process import add_noise, transition_variance
from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.types import Denoise, Level


class BlendedSampler(Sampler):
    """Another sampler, whose x outside a mask is that of known latents at every level (RePaint, algorithm 1).

    Blending alone lets the inside answer to the outside only from the next step on, when much of it is settled. With
    `resample` the run jumps back: every `jump` steps are made so many times, and x is noised again in between.

    A method with a memory keeps it through a run without jumps, and from each jump to the next otherwise: estimates
    from before a jump belong to another x, and no level is seen twice.

    Args:
        sampler: makes the steps.
        latents: what is known, one for each of the batch or one for all.
        inside: True where it is not known.
        resample: times that each stretch of steps is made; 1 jumps never. The network is called as many times as often.
        jump: steps of a stretch.

    Raises:
        ValueError: `resample` or `jump` is below 1.
    """

    def __init__(
        self,
        sampler: Sampler,
        latents: Float[Tensor, "#B C H W"],
        inside: Bool[Tensor, "#B 1 H W"],
        resample: int = 1,
        jump: int = 1,
    ) -> None:
        super().__init__(sampler.steps, sampler.spacing, sampler.last_level)
        check_resampling(resample, jump)
        self.sampler = sampler
        self.latents = latents
        self.inside = inside
        self.resample = resample
        self.jump = jump

    def levels(self, schedule: NoiseSchedule) -> Level:
        """The S + 1 levels that the inner sampler visits."""
        return self.sampler.levels(schedule)

    @torch.no_grad()
    def sample(
        self,
        denoise: Denoise,
        noise: Float[Tensor, "B C H W"],
        levels: Level,
        hooks: SamplerHooks | None = None,
    ) -> Float[Tensor, "B C H W"]:
        """Run the inner sampler along `levels`, blending after each step and jumping back as `resample` and `jump` say.

        Args:
            denoise: gives clean estimates.
            noise: any x at `levels[0]`, which is not written to.
            levels: S + 1 of them, the noisiest first.
            hooks: what happens beside a step; they see repeated steps each time.
        """
        hooks, points = hooks or SamplerHooks(), levels.apart()
        x = self._blend(noise, points[0], hooks)
        for start, end in self._stretches(len(levels) - 1):
            within = self._hooks(start, points, hooks)
            repeats = self.resample if points[start].alpha > 0 else 1  # a jump into pure noise would keep nothing
            for repeat in range(repeats):
                if repeat:
                    x = noised_again(x, points[end], points[start], hooks.step_noise)
                x = self.sampler.sample(denoise, x, levels[start : end + 1], within)
        return x

    def step(
        self, denoise: Denoise, x: Float[Tensor, "B C H W"], level: Level, next_level: Level, hooks: SamplerHooks
    ) -> Float[Tensor, "B C H W"]:
        """A step of the inner sampler from `level` to `next_level`, with known latents blended in outside the mask."""
        return self._blend(self.sampler.step(denoise, x, level, next_level, hooks), next_level, hooks)

    def _stretches(self, steps: int) -> Iterator[tuple[int, int]]:
        width = steps if self.resample == 1 else self.jump
        for start in range(0, steps, width):
            yield start, min(start + width, steps)

    def _hooks(self, start: int, points: Sequence[Level], hooks: SamplerHooks) -> SamplerHooks:
        """Those of a stretch, which counts its steps from 0."""

        def after_step(step: int, x: Tensor) -> Tensor:
            return hooks.after_step(start + step, self._blend(x, points[start + step + 1], hooks))

        return replace(hooks, before_step=lambda step: hooks.before_step(start + step), after_step=after_step)

    def _blend(self, x: Tensor, level: Level, hooks: SamplerHooks) -> Tensor:
        known = add_noise(self.latents.to(x).expand_as(x), hooks.step_noise(x), level)
        return torch.where(self.inside.to(x.device), x, known)


def noised_again(
    x: Float[Tensor, "B *grid"], level: Level, noisier: Level, step_noise: Callable[[Tensor], Tensor]
) -> Float[Tensor, "B *grid"]:
    """A draw from q(x_t | x_s): s is `level`, t `noisier`."""
    kept, std = noisier.alpha / level.alpha, transition_variance(noisier, level).sqrt()
    return add_noise(x, step_noise(x), Level(kept, std))


def check_resampling(resample: int, jump: int) -> None:
    """Refuse counts of resampling below 1.

    Raises:
        ValueError: `resample` or `jump` is below 1.
    """
    if resample < 1:
        raise ValueError(f"resample={resample}: make each step at least once; 1 jumps never back, 5 or 10 is usual")
    if jump < 1:
        raise ValueError(f"jump={jump}: jump back over at least 1 step")
