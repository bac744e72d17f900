"""DPM-Solver++(2M), the multistep solver of second order in clean estimates (Lu et al. 2022, algorithm 2)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ldmlab.samplers.base import MultistepSampler, SamplerHooks, Step
from ldmlab.samplers.first_order import first_order
from ldmlab.types import Denoise, Level


class Extrapolation:
    """The clean estimates of one run, each led on to the middle of its step by the one before, in log-SNR."""

    def __init__(self) -> None:
        self._previous: tuple[Level, Tensor] | None = None

    def __call__(self, denoised: Float[Tensor, "B *grid"], level: Level, next_level: Level) -> Float[Tensor, "B *grid"]:
        """The estimate for the step from `level` to `next_level`.

        It is `denoised` itself on the first step and on a step to clean latents. An estimate made from pure noise leads
        none on: the log-SNR is -inf there, so its weight is 0.
        """
        previous, self._previous = self._previous, (level, denoised)
        if previous is None or next_level.sigma == 0:
            return denoised
        earlier_level, earlier = previous
        step, step_before = next_level.log_snr - level.log_snr, level.log_snr - earlier_level.log_snr
        return denoised + step / (2 * step_before) * (denoised - earlier)


class DPMSolver2M(MultistepSampler):
    """Deterministic: the step of first order, with estimates extrapolated to its middle."""

    def stepper(self, steps: int) -> Step:
        """A fresh step function for one run, which remembers the clean estimate of the step before."""
        extrapolate = Extrapolation()

        def step(denoise: Denoise, x: Tensor, level: Level, next_level: Level, hooks: SamplerHooks) -> Tensor:
            return first_order(x, extrapolate(denoise(x, level), level, next_level), level, next_level)

        return step
