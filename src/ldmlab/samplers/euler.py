"""Euler's method along the straight path of a rectified flow (Liu et al. 2023)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.types import Denoise, Level


class Euler(Sampler):
    """dy/ds = (y - x_0) / s in y = x / (alpha + sigma) over s = sigma / (alpha + sigma), which runs from 1 to 0.

    Levels of a rectified flow have alpha + sigma = 1, so y is x there; variance-preserving levels are carried to that
    path and back. It is the same map as DDIM with eta = 0.
    """

    def step(
        self, denoise: Denoise, x: Float[Tensor, "B *grid"], level: Level, next_level: Level, hooks: SamplerHooks
    ) -> Float[Tensor, "B *grid"]:
        """One step of Euler's method from x at `level` to x at the less noisy `next_level`."""
        scale, next_scale = level.alpha + level.sigma, next_level.alpha + next_level.sigma
        s, next_s = level.sigma / scale, next_level.sigma / next_scale
        y = x / scale
        slope = (y - denoise(x, level)) / s
        return next_scale * (y + (next_s - s) * slope)
