"""What a sampler is about to do for the pictures that are drawn at once: where it starts, and what steers it.

Shapes: R rows (pictures, or the first of all pairs and then the second), C latent channels, H x W latent grid, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.drawing.conditions import Conditions
from ldmlab.guidance.base import Guidance, GuidedDenoiser
from ldmlab.guidance.observed import observed
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.types import AttentionControl, Estimate, Level, Uncontrolled

Control = Callable[[Sequence[int]], AttentionControl]
"""From the numbers of the pictures (or pairs) drawn at once to the control of their run."""


def _as_it_is(denoise: GuidedDenoiser) -> GuidedDenoiser:
    return denoise


def _unwatched(step: int, x: Tensor) -> None:
    pass


@dataclass(frozen=True)
class SamplingPlan:
    """One run of a sampler, laid out but not made. `draw` lays out that of `sample`; a change of it gives all others.

    Attributes:
        rows: numbers of the pictures or pairs; on a CPU the last may be repeated.
        denoiser: estimates clean latents.
        guidance: combines the estimates under the two conditions.
        conditions: one for all S steps, or S of them.
        sampler: makes the steps.
        levels: the S + 1 noise levels that it visits.
        x: the noisy latents that it starts from.
        hooks: what else happens before and after a step.
        control: sees the attention of the conditional passes, and x after `hooks`; None for none.
        around: wraps the guided estimate before the sampler calls it.
        on_step: called after each step with its number and x.
    """

    rows: Sequence[int]
    denoiser: Denoiser
    guidance: Guidance
    conditions: Sequence[Conditions]
    sampler: Sampler
    levels: Level
    x: Float[Tensor, "R C H W"]
    hooks: SamplerHooks
    control: AttentionControl | None = None
    around: Callable[[GuidedDenoiser], GuidedDenoiser] = _as_it_is
    on_step: Callable[[int, Tensor], None] = _unwatched

    def observed(self, observer: AttentionControl) -> SamplingPlan:
        """This run, with its attention shown to a control in a further pass before each that counts."""
        cond = self.conditions[0].cond
        return replace(
            self,
            hooks=replace(self.hooks, before_step=observer.before_step),
            around=lambda denoise: observed(self.around(denoise), self.denoiser, cond, observer),
        )

    def run(self) -> Float[Tensor, "R C H W"]:
        """Run the sampler, and return the latents that it ends with. Samplers are called here and nowhere else."""
        clock, control = _Clock(), self.control or Uncontrolled()

        def before_step(step: int) -> None:
            clock.step = step
            self.hooks.before_step(step)
            control.before_step(step)

        def after_step(step: int, x: Tensor) -> Tensor:
            x = control.after_step(step, self.hooks.after_step(step, x))
            self.on_step(step, x)
            return x

        hooks = replace(self.hooks, before_step=before_step, after_step=after_step)
        return self.sampler.sample(self._denoise(clock), self.x, self.levels, hooks)

    def _denoise(self, clock: _Clock) -> GuidedDenoiser:
        """What the sampler calls; under conditions for each step, those of the step that it makes."""
        bound = [self.guidance.bind(self.denoiser, each.cond, each.uncond, self.control) for each in self.conditions]

        def estimate(x: Tensor, level: Level) -> Estimate:
            return bound[clock.step].estimate(x, level)

        return self.around(bound[0] if len(bound) == 1 else GuidedDenoiser(estimate))


@dataclass
class _Clock:
    """The step that the sampler makes."""

    step: int = 0
