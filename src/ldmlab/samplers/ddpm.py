"""Ancestral sampling (Ho et al. 2020, algorithm 2), on any grid of levels."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.process import posterior
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.types import Denoise, Level


class DDPM(Sampler):
    """Draws from q(x_s | x_t, x_0 = clean estimate), whose standard deviation is sqrt(beta-tilde); 0 at the end."""

    def step(
        self, denoise: Denoise, x: Float[Tensor, "B *grid"], level: Level, next_level: Level, hooks: SamplerHooks
    ) -> Float[Tensor, "B *grid"]:
        """See `Sampler.step`."""
        mean, std = posterior(x, denoise(x, level), level, next_level)
        return mean + std * hooks.step_noise(x) if next_level.sigma > 0 else mean
