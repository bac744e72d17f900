"""The one sampling loop. A sampler is a subclass that writes `step`.

Shapes: B batch, S steps. Levels run from the noisiest (0) to clean latents (S).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.samplers.spacing import spaced_timesteps
from ldmlab.types import Denoise, Level


def _nothing_before(step: int) -> None:
    pass


def _unchanged(step: int, x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class SamplerHooks:
    """What a caller hangs on the loop.

    Attributes:
        before_step: called with the 0-based step before its first network call.
        after_step: called with the step and the new x; returns the x to go on with.
        step_noise: N(0, 1) noise like its argument, for stochastic steps.
    """

    before_step: Callable[[int], None] = _nothing_before
    after_step: Callable[[int, Tensor], Tensor] = _unchanged
    step_noise: Callable[[Tensor], Tensor] = torch.randn_like


class Sampler(ABC):
    """Turns noise into latents along a grid of noise levels.

    Args:
        steps: S, at least 1. Network calls a sample, for a method that makes one a step.
        spacing: "leading", "trailing" or "linspace"; see `spaced_timesteps`.
    """

    def __init__(self, steps: int = 50, spacing: str = "trailing") -> None:
        self.steps = steps
        self.spacing = spacing

    def levels(self, schedule: NoiseSchedule) -> Level:
        """The S + 1 levels to visit; the last is clean: alpha 1, sigma 0."""
        level = schedule.level(spaced_timesteps(self.steps, len(schedule), self.spacing))
        one = level.alpha.new_ones(1)
        return Level(torch.cat([level.alpha, one]), torch.cat([level.sigma, 0 * one]))

    @torch.no_grad()
    def sample(
        self,
        denoise: Denoise,
        noise: Float[Tensor, "B *grid"],
        levels: Level,
        hooks: SamplerHooks | None = None,
    ) -> Float[Tensor, "B *grid"]:
        """Integrate from `levels[0]` to `levels[-1]`, starting from N(0, 1) noise, which is not written to."""
        hooks = hooks or SamplerHooks()
        x = noise.clone()
        for index in range(len(levels) - 1):
            hooks.before_step(index)
            x = self.step(denoise, x, levels[index], levels[index + 1], hooks)
            x = hooks.after_step(index, x)
        return x

    @abstractmethod
    def step(
        self, denoise: Denoise, x: Float[Tensor, "B *grid"], level: Level, next_level: Level, hooks: SamplerHooks
    ) -> Float[Tensor, "B *grid"]:
        """Go from x at `level` to x at the less noisy `next_level`."""
