"""The one sampling loop. A sampler is a subclass that writes `step`, or `stepper` where it remembers earlier steps.

Shapes: B batch, S steps. Levels run from the noisiest (0) to the last (S); one level is a pair of float64 CPU scalars.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.samplers.spacing import check_spacing, spaced_levels
from ldmlab.types import Denoise, Level

LAST_LEVELS = ("clean", "least_noisy")


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


Step = Callable[[Denoise, Tensor, Level, Level, SamplerHooks], Tensor]
"""The signature of `Sampler.step`."""


class Sampler(ABC):
    """Turns noise into latents along a grid of noise levels.

    Args:
        steps: S, at least 1. Network calls a sample, for a method that makes one a step.
        spacing: "leading", "trailing", "linspace" or "karras"; see `spaced_levels`.
        last_level: "clean" ends at alpha 1 and sigma 0; "least_noisy" at the schedule's timestep 0, as Stable
            Diffusion does (set_alpha_to_one=False). A spacing that visits timestep 0 itself then ends with a step of
            no width.

    Raises:
        ValueError: a spacing or a last level that is not known.
    """

    def __init__(self, steps: int = 50, spacing: str = "trailing", last_level: str = "clean") -> None:
        check_spacing(spacing)
        if last_level not in LAST_LEVELS:
            raise ValueError(f"sampler.last_level={last_level}: choose one of {', '.join(LAST_LEVELS)}")
        self.steps = steps
        self.spacing = spacing
        self.last_level = last_level

    def levels(self, schedule: NoiseSchedule) -> Level:
        """The S + 1 levels to visit."""
        level = spaced_levels(self.steps, schedule, self.spacing)
        least_noisy = schedule.level(torch.zeros(1, dtype=torch.long))
        one = torch.ones_like(least_noisy.alpha)
        last = Level(one, 0 * one) if self.last_level == "clean" else least_noisy
        return Level(torch.cat([level.alpha, last.alpha]), torch.cat([level.sigma, last.sigma]))

    def check(self, denoiser: Denoiser) -> None:
        """Refuse a model that this method cannot draw from.

        Raises:
            ValueError: its schedule does not have the levels, or the method reads what it does not give.
        """
        self.levels(denoiser.schedule)

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
        points = levels.apart()
        step = self.stepper(len(points) - 1)
        for index, (level, next_level) in enumerate(pairwise(points)):
            hooks.before_step(index)
            x = step(denoise, x, level, next_level, hooks)
            x = hooks.after_step(index, x)
        return x

    def stepper(self, steps: int) -> Step:
        """A fresh step function for one run of `steps` steps. What a method remembers lives there, never on `self`."""
        return self.step

    @abstractmethod
    def step(
        self, denoise: Denoise, x: Float[Tensor, "B *grid"], level: Level, next_level: Level, hooks: SamplerHooks
    ) -> Float[Tensor, "B *grid"]:
        """Go from x at `level` to x at the less noisy `next_level`."""


class MultistepSampler(Sampler):
    """A method that remembers earlier steps: a subclass writes `stepper`.

    The x of a step may not be the one that the step before returned, because `SamplerHooks.after_step` may change it.
    """

    @abstractmethod
    def stepper(self, steps: int) -> Step:
        """A fresh step function for one run of `steps` steps, which remembers what the method needs of earlier ones."""

    def step(
        self, denoise: Denoise, x: Float[Tensor, "B *grid"], level: Level, next_level: Level, hooks: SamplerHooks
    ) -> Float[Tensor, "B *grid"]:
        """A step without a past: the whole of a run of one step."""
        return self.stepper(1)(denoise, x, level, next_level, hooks)
