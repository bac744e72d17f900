"""Denoising diffusion implicit models (Song et al. 2021, eq. 12 and 16)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.process import posterior_std
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.types import Denoise, Level


class DDIM(Sampler):
    """eta = 0 is deterministic; eta = 1 is ancestral sampling on the same grid.

    Args:
        steps: see `Sampler`.
        spacing: see `Sampler`.
        eta: share of the posterior's standard deviation that is drawn anew, in [0, 1].
    """

    def __init__(self, steps: int = 50, spacing: str = "trailing", eta: float = 0.0) -> None:
        super().__init__(steps, spacing)
        if not 0 <= eta <= 1:
            raise ValueError(f"sampler.eta={eta}: eta must lie in [0, 1]; 0 is deterministic, 1 is ancestral")
        self.eta = eta

    def step(
        self, denoise: Denoise, x: Float[Tensor, "B *grid"], level: Level, next_level: Level, hooks: SamplerHooks
    ) -> Float[Tensor, "B *grid"]:
        """x_s = alpha_s x_0 + sqrt(sigma_s^2 - std^2) eps + std z."""
        denoised = denoise(x, level)
        alpha, sigma = level.like(x)
        next_alpha, next_sigma = next_level.like(x)
        eps = (x - alpha * denoised) / sigma
        if self.eta == 0 or next_level.sigma == 0:
            return next_alpha * denoised + next_sigma * eps
        std = self.eta * posterior_std(x, level, next_level)
        direction = (next_sigma**2 - std**2).clamp(min=0).sqrt()
        return next_alpha * denoised + direction * eps + std * hooks.step_noise(x)
