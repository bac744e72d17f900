"""The deterministic step of first order, on which the other methods build."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ldmlab.types import Level


def first_order(
    x: Float[Tensor, "B *grid"], denoised: Float[Tensor, "B *grid"], level: Level, next_level: Level
) -> Float[Tensor, "B *grid"]:
    """alpha_s x_0 + sigma_s eps: s is `next_level`, x_0 the clean estimate and eps the noise that x then holds.

    The same step has several names: DDIM with eta = 0, Euler's method in x / alpha over sigma / alpha or along the
    rectified flow, and DPM-Solver++ of first order. It divides by no alpha, so x may be pure noise.
    """
    ratio = next_level.sigma / level.sigma
    return ratio * x + (next_level.alpha - ratio * level.alpha) * denoised
