"""Denoising diffusion implicit models (Song et al. 2021, eq. 12 and 16)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.process import posterior_variance
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.first_order import first_order
from ldmlab.types import Denoise, Level


class DDIM(Sampler):
    """eta = 0 is deterministic; eta = 1 is ancestral sampling on the same grid.

    Args:
        steps: S, at least 1.
        spacing: which levels are visited: "leading", "trailing", "linspace" or "karras".
        last_level: where the last step ends: "clean", or "least_noisy" for the schedule's timestep 0.
        eta: share of the posterior's standard deviation that is drawn anew, in [0, 1].
    """

    def __init__(self, steps: int = 50, spacing: str = "trailing", last_level: str = "clean", eta: float = 0.0) -> None:
        super().__init__(steps, spacing, last_level)
        if not 0 <= eta <= 1:
            raise ValueError(f"sampler.eta={eta}: eta must lie in [0, 1]; 0 is deterministic, 1 is ancestral")
        self.eta = eta

    def step(
        self, denoise: Denoise, x: Float[Tensor, "B *grid"], level: Level, next_level: Level, hooks: SamplerHooks
    ) -> Float[Tensor, "B *grid"]:
        """x_s = alpha_s x_0 + sqrt(sigma_s^2 - std^2) eps + std z."""
        denoised = denoise(x, level)
        if self.eta == 0 or next_level.sigma == 0:
            return first_order(x, denoised, level, next_level)
        variance = self.eta**2 * posterior_variance(level, next_level)
        kept = Level(next_level.alpha, (next_level.sigma**2 - variance).clamp(min=0).sqrt())
        return first_order(x, denoised, level, kept) + variance.sqrt() * hooks.step_noise(x)
