"""At which timesteps a denoiser trains: a distribution over the levels of a schedule.

Shapes: B batch, T timesteps of the schedule.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor


@runtime_checkable
class TimestepSampling(Protocol):
    """A distribution over the timesteps that a denoiser trains at."""

    def draw(
        self, count: int, timesteps: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Int[Tensor, " B"]:
        """Draw `count` of the timesteps 0 ... T - 1."""
        ...


class Uniform:
    """Every timestep alike (Ho et al. 2020, algorithm 1)."""

    def draw(
        self, count: int, timesteps: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Int[Tensor, " B"]:
        """Draw `count` of the timesteps 0 ... T - 1, each as likely as any other."""
        return torch.randint(timesteps, (count,), device=device, generator=generator)


class LogitNormal:
    """t / T = sigmoid(mean + std z) with z ~ N(0, 1): the middle of the schedule (Esser et al. 2024, section 3.1).

    Args:
        mean: above 0 for noisier levels, below 0 for cleaner ones.
        std: spread in logits, above 0.

    Raises:
        ValueError: std is not positive.
    """

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        if not std > 0:
            raise ValueError(f"timestep_sampling.std={std}: the spread must be above 0; 1 is the usual one")
        self.mean = mean
        self.std = std

    def draw(
        self, count: int, timesteps: int, device: torch.device, generator: torch.Generator | None = None
    ) -> Int[Tensor, " B"]:
        """Draw `count` of the timesteps 0 ... T - 1, most of them around sigmoid(mean) T."""
        logits = self.mean + self.std * torch.randn(count, device=device, generator=generator)
        return (logits.sigmoid() * timesteps).long().clamp(max=timesteps - 1)
