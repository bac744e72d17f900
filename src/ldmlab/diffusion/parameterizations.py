"""What the network predicts, how that becomes clean latents, and what it is trained to be."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

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
        """What the prediction should be."""
        ...


class Epsilon:
    """The network predicts the noise (Ho et al. 2020, eq. 11-14)."""

    def denoised(
        self, prediction: Float[Tensor, "B *grid"], x: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """x_0 = (x_t - sigma_t eps) / alpha_t."""
        alpha, sigma = level.like(x)
        return (x - sigma * prediction) / alpha

    def target(
        self, latents: Float[Tensor, "B *grid"], noise: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """The noise itself."""
        return noise


class Velocity:
    """The network predicts v = alpha eps - sigma x_0 (Salimans & Ho 2022, section 4).

    For variance-preserving levels. Its squared error weighs clean estimates by SNR + 1, epsilon's by SNR, so noisy
    levels, where the prompt decides what is to be seen, count for more.
    """

    def denoised(
        self, prediction: Float[Tensor, "B *grid"], x: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """x_0 = alpha_t x_t - sigma_t v."""
        alpha, sigma = level.like(x)
        return alpha * x - sigma * prediction

    def target(
        self, latents: Float[Tensor, "B *grid"], noise: Float[Tensor, "B *grid"], level: Level
    ) -> Float[Tensor, "B *grid"]:
        """v."""
        alpha, sigma = level.like(latents)
        return alpha * noise - sigma * latents
