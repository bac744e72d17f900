"""What the network predicts, how that becomes clean latents, and what it is trained to be.

Every prediction is affine in the clean latents at a given (x, level), so that each converts into every other.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.diffusion.process import posterior_weights
from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.diffusion.tables import LevelTable
from ldmlab.types import Level


@runtime_checkable
class Parameterization(Protocol):
    """A reading of the network's output."""

    def denoised(
        self, prediction: Float[Tensor, "B *grid"], x: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """The clean latents that `prediction` stands for."""
        ...

    def target(
        self, latents: Float[Tensor, "B *grid"], noise: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """What the network is to predict, for clean latents that are mixed with noise at a level."""
        ...


class PosteriorMean(nn.Module):
    """The network predicts the mean of q(x_{t-1} | x_t, x_0) (Ho et al. 2020, eq. 7): the lecture's option A.

    At t = 0 that is the clean latents themselves. Elsewhere it is nearly x_t, so the clean latents are read from a
    small difference; Ho et al. (2020, table 2) found its plain squared error unstable.

    Args:
        schedule: says which level comes before the given one.
    """

    def __init__(self, schedule: NoiseSchedule) -> None:
        super().__init__()
        self.levels = LevelTable(schedule)

    def denoised(
        self, prediction: Float[Tensor, "B *grid"], x: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """x_0 = (mean - a x_t) / b, with the posterior's weights a of x_t and b of x_0."""
        x_weight, denoised_weight = self._weights(level, x)
        return (prediction - x_weight * x) / denoised_weight

    def target(
        self, latents: Float[Tensor, "B *grid"], noise: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """The posterior's mean a x_t + b x_0, for x_t made of the latents and the noise."""
        alpha, sigma = level.like(latents)
        x_weight, denoised_weight = self._weights(level, latents)
        return x_weight * (alpha * latents + sigma * noise) + denoised_weight * latents

    def _weights(self, level: Level, x: Tensor) -> tuple[Tensor, Tensor]:
        previous = self.levels.level(self.levels.timesteps(level) - 1)
        here = Level(level.alpha.to(previous.alpha.dtype), level.sigma.to(previous.sigma.dtype))
        return posterior_weights(x, here, previous)


class CleanLatents:
    """The network predicts the clean latents x_0: the lecture's option B."""

    def denoised(
        self, prediction: Float[Tensor, "B *grid"], x: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """x_0 is the prediction itself."""
        return prediction

    def target(
        self, latents: Float[Tensor, "B *grid"], noise: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """The network is to predict the clean latents themselves."""
        return latents


class Epsilon:
    """The network predicts the noise (Ho et al. 2020, eq. 11-14): the lecture's option C."""

    def denoised(
        self, prediction: Float[Tensor, "B *grid"], x: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """x_0 = (x_t - sigma_t eps) / alpha_t, where eps is the prediction."""
        alpha, sigma = level.like(x)
        return (x - sigma * prediction) / alpha

    def target(
        self, latents: Float[Tensor, "B *grid"], noise: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """The network is to predict the noise itself."""
        return noise


class Velocity:
    """The network predicts v = alpha eps - sigma x_0 (Salimans & Ho 2022, section 4).

    On variance-preserving levels its squared error weighs clean estimates by SNR + 1, epsilon's by SNR, so noisy
    levels, where the prompt decides what is to be seen, count for more.
    """

    def denoised(
        self, prediction: Float[Tensor, "B *grid"], x: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """x_0 = (alpha_t x_t - sigma_t v) / (alpha_t^2 + sigma_t^2), where v is the prediction."""
        alpha, sigma = level.like(x)
        return (alpha * x - sigma * prediction) / (alpha**2 + sigma**2)

    def target(
        self, latents: Float[Tensor, "B *grid"], noise: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """The network is to predict v = alpha_t eps - sigma_t x_0."""
        alpha, sigma = level.like(latents)
        return alpha * noise - sigma * latents


class FlowVelocity:
    """The network predicts u = eps - x_0, the direction of a straight path (Liu et al. 2023, Lipman et al. 2023)."""

    def denoised(
        self, prediction: Float[Tensor, "B *grid"], x: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """x_0 = (x_t - sigma_t u) / (alpha_t + sigma_t), where u is the prediction."""
        alpha, sigma = level.like(x)
        return (x - sigma * prediction) / (alpha + sigma)

    def target(
        self, latents: Float[Tensor, "B *grid"], noise: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """The network is to predict u = eps - x_0."""
        return noise - latents


def convert_prediction(
    prediction: Float[Tensor, "B *grid"],
    x: Float[Tensor, "B *grid"],
    level: Level,
    source: Parameterization,
    wanted: Parameterization,
) -> Float[Tensor, "B *grid"]:
    """What a network of another parameterization would have predicted, had it meant the same clean latents."""
    alpha, sigma = level.like(x)
    denoised = source.denoised(prediction, x, level)
    return wanted.target(denoised, (x - alpha * denoised) / sigma, level)


def clean_error_scale(parameterization: Parameterization, level: Level) -> Float[Tensor, " B"]:
    """Squared error of a prediction over that of the clean latents read from it, at levels (B,).

    It is the SNR for epsilon, SNR + 1 for v, 1 for x_0. All predictions are affine, so that a difference of one in the
    prediction tells.
    """
    zero = torch.zeros_like(level.alpha)
    slope = parameterization.denoised(zero + 1, zero, level) - parameterization.denoised(zero, zero, level)
    return 1 / slope.abs()
