"""Heun's method of second order (Karras et al. 2022, algorithm 1)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.first_order import first_order
from ldmlab.types import Denoise, Level

NOISIEST = 80.0
"""Largest noise ratio of the paper (table 1, sigma_max)."""


class Heun(Sampler):
    """The trapezoidal rule in y = x / alpha over the noise ratio r = sigma / alpha, after a step of Euler's method.

    The slope dy/dr = (y - x_0) / r is the noise that x holds. Two network calls a step, one on a step to clean latents
    (2S - 1 in all) and one from x that is noisier than `NOISIEST`: the rule is unstable on steps as wide in r as those
    that leave (nearly) pure noise.
    """

    def step(
        self, denoise: Denoise, x: Float[Tensor, "B *grid"], level: Level, next_level: Level, hooks: SamplerHooks
    ) -> Float[Tensor, "B *grid"]:
        """One step of Heun's method from x at `level` to x at the less noisy `next_level`: one or two network calls."""
        denoised = denoise(x, level)
        predicted = first_order(x, denoised, level, next_level)
        if level.sigma > NOISIEST * level.alpha or next_level.sigma == 0:
            return predicted
        slope = (x - level.alpha * denoised) / level.sigma
        next_slope = (predicted - next_level.alpha * denoise(predicted, next_level)) / next_level.sigma
        width = next_level.sigma / next_level.alpha - level.sigma / level.alpha
        return predicted + next_level.alpha * width / 2 * (next_slope - slope)
