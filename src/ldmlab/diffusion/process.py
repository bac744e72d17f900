"""Closed forms of the forward process between noise levels (Kingma et al. 2021, appendix A).

A level s that is less noisy than t has q(x_t | x_s) = N(alpha_ts x_s, sigma_ts^2) with alpha_ts = alpha_t / alpha_s
and sigma_ts^2 = sigma_t^2 - alpha_ts^2 sigma_s^2.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ldmlab.types import Level


def add_noise(
    latents: Float[Tensor, "B *grid"], noise: Float[Tensor, "B *grid"], level: Level
) -> Float[Tensor, "B *grid"]:
    """x_t = alpha_t x_0 + sigma_t eps, a draw from q(x_t | x_0)."""
    alpha, sigma = level.like(latents)
    return alpha * latents + sigma * noise


def posterior(
    x: Float[Tensor, "B *grid"], denoised: Float[Tensor, "B *grid"], level: Level, next_level: Level
) -> tuple[Float[Tensor, "B *grid"], Float[Tensor, "#B *ones"]]:
    """Mean and standard deviation of q(x_s | x_t, x_0): t is `level`, s the less noisy `next_level`.

    On neighbouring timesteps the variance is DDPM's beta-tilde (Ho et al. 2020, eq. 6-7), and it is 0 where sigma_s is.
    """
    alpha_ts, variance_ts = _between(level, next_level)
    x_weight = alpha_ts * next_level.sigma**2 / level.sigma**2
    denoised_weight = next_level.alpha * variance_ts / level.sigma**2
    x_weight, denoised_weight = Level(x_weight, denoised_weight).like(x)
    return x_weight * x + denoised_weight * denoised, posterior_std(x, level, next_level)


def posterior_std(x: Float[Tensor, "B *grid"], level: Level, next_level: Level) -> Float[Tensor, "#B *ones"]:
    """Standard deviation of q(x_s | x_t, x_0), in the dtype of `x` and shaped to broadcast against it."""
    _, variance_ts = _between(level, next_level)
    std = variance_ts.clamp(min=0).sqrt() * next_level.sigma / level.sigma
    return std.to(x).reshape(-1, *[1] * (x.ndim - 1))


def _between(level: Level, next_level: Level) -> tuple[Tensor, Tensor]:
    """alpha_ts and sigma_ts^2."""
    alpha_ts = level.alpha / next_level.alpha
    return alpha_ts, level.sigma**2 - alpha_ts**2 * next_level.sigma**2
