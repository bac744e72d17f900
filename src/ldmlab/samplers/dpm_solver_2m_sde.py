"""SDE-DPM-Solver++(2M), the stochastic variant of DPM-Solver++(2M) (Lu et al. 2022)."""

from __future__ import annotations

from torch import Tensor

from ldmlab.diffusion.process import posterior
from ldmlab.samplers.base import MultistepSampler, SamplerHooks, Step
from ldmlab.samplers.dpm_solver_2m import Extrapolation
from ldmlab.types import Denoise, Level


class DPMSolver2MSDE(MultistepSampler):
    """Ancestral sampling, whose step is the SDE solver of first order, with estimates extrapolated to its middle.

    With e^-h = alpha_t sigma_s / (alpha_s sigma_t), the paper's weights sigma_s / sigma_t e^-h and alpha_s (1 - e^-2h)
    are those of the posterior's mean, and sigma_s sqrt(1 - e^-2h) is its standard deviation.
    """

    def stepper(self, steps: int) -> Step:
        """A fresh step function for one run, which remembers the clean estimate of the step before."""
        extrapolate = Extrapolation()

        def step(denoise: Denoise, x: Tensor, level: Level, next_level: Level, hooks: SamplerHooks) -> Tensor:
            estimate = extrapolate(denoise(x, level), level, next_level)
            mean, std = posterior(x, estimate, level, next_level)
            return mean + std * hooks.step_noise(x) if next_level.sigma > 0 else mean

        return step
