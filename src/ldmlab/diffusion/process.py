"""Closed forms of the forward process between noise levels (Kingma et al. 2021, appendix A).

A level s that is less noisy than t has q(x_t | x_s) = N(alpha_ts x_s, sigma_ts^2) with alpha_ts = alpha_t / alpha_s
and sigma_ts^2 = sigma_t^2 - alpha_ts^2 sigma_s^2.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ldmlab.types import Level, broadcast


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
    x_weight, denoised_weight = posterior_weights(x, level, next_level)
    return x_weight * x + denoised_weight * denoised, posterior_std(x, level, next_level)


def posterior_weights(
    x: Float[Tensor, "B *grid"], level: Level, next_level: Level
) -> tuple[Float[Tensor, "#B *ones"], Float[Tensor, "#B *ones"]]:
    """Weights of x_t and of x_0 in the posterior's mean, in the dtype of `x` and shaped to broadcast against it."""
    x_weight, denoised_weight = posterior_coefficients(level, next_level)
    return broadcast(x_weight, x), broadcast(denoised_weight, x)


def posterior_coefficients(level: Level, next_level: Level) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Weights of x_t and of x_0 in the mean of q(x_s | x_t, x_0), shaped as the levels and in their dtype."""
    x_weight = level.alpha / next_level.alpha * next_level.sigma**2 / level.sigma**2
    return x_weight, next_level.alpha * transition_variance(level, next_level) / level.sigma**2


def posterior_std(x: Float[Tensor, "B *grid"], level: Level, next_level: Level) -> Float[Tensor, "#B *ones"]:
    """Standard deviation of q(x_s | x_t, x_0), in the dtype of `x` and shaped to broadcast against it."""
    return broadcast(posterior_variance(level, next_level).sqrt(), x)


def interpolated_log_variance(
    mix: Float[Tensor, "B *grid"], level: Level, next_level: Level
) -> Float[Tensor, "B *grid"]:
    """Logarithm of a learned variance of x_s given x_t, s not clean (Nichol & Dhariwal 2021, eq. 15).

    Args:
        mix: the network's share of the transition's variance (beta); the rest is the posterior's (beta-tilde).
        level: t.
        next_level: s, less noisy.
    """
    upper, lower = transition_variance(level, next_level).log(), posterior_variance(level, next_level).log()
    return interpolate(mix, broadcast(lower, mix), broadcast(upper, mix))


def interpolate(mix: Float[Tensor, "*shape"], lower: Tensor, upper: Tensor) -> Float[Tensor, "*shape"]:
    """(1 - mix) lower + mix upper, value by value: `lower` where mix is 0, `upper` where it is 1."""
    return mix * upper + (1 - mix) * lower


def transition_variance(level: Level, next_level: Level) -> Float[Tensor, "..."]:
    """sigma_ts^2, the variance of q(x_t | x_s), shaped as the levels; beta on neighbouring timesteps."""
    alpha_ts = level.alpha / next_level.alpha
    return (level.sigma**2 - alpha_ts**2 * next_level.sigma**2).clamp(min=0)


def posterior_variance(level: Level, next_level: Level) -> Float[Tensor, "..."]:
    """Variance of q(x_s | x_t, x_0), shaped as the levels; beta-tilde on neighbouring timesteps."""
    return transition_variance(level, next_level) * (next_level.sigma / level.sigma) ** 2
