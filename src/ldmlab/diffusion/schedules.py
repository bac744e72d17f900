"""Variance-preserving noise schedules: alphas_cumprod over T integer timesteps, in float64.

t = 0 is the least noisy timestep. alpha_t = sqrt(alphas_cumprod_t), sigma_t = sqrt(1 - alphas_cumprod_t).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from ldmlab.types import Level


@dataclass(frozen=True)
class NoiseSchedule:
    """A table of noise levels, one for each timestep that the network is trained on."""

    alphas_cumprod: Float64[Tensor, " T"]

    def __post_init__(self) -> None:
        inside = (self.alphas_cumprod > 0) & (self.alphas_cumprod < 1)
        if not bool(inside.all()) or bool((self.alphas_cumprod.diff() >= 0).any()):
            raise ValueError("schedule: alphas_cumprod must fall strictly and stay inside (0, 1); check the betas")

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    @property
    def betas(self) -> Float64[Tensor, " T"]:
        """beta_t = 1 - alphas_cumprod_t / alphas_cumprod_{t-1}."""
        previous = torch.cat([self.alphas_cumprod.new_ones(1), self.alphas_cumprod[:-1]])
        return 1 - self.alphas_cumprod / previous

    def level(self, timesteps: Int[Tensor, "*shape"]) -> Level:
        """The noise levels of integer timesteps in [0, T), in float64 on the CPU."""
        alphas_cumprod = self.alphas_cumprod[timesteps.cpu()]
        return Level(alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt())

    def at_ratio(self, ratio: Float64[Tensor, " S"]) -> Level:
        """The levels whose noise ratio sigma / alpha is given, on the schedule's path but between its timesteps too."""
        alpha = (1 + ratio**2).rsqrt()
        return Level(alpha, ratio * alpha)

    def timesteps(self, level: Level) -> Int[Tensor, "*shape"]:
        """The timesteps whose log-SNR is nearest to the given levels'."""
        table = self.level(torch.arange(len(self))).log_snr.flip(0)
        wanted = level.log_snr.double().cpu()
        upper = torch.searchsorted(table, wanted).clamp(1, len(self) - 1)
        nearer_below = wanted - table[upper - 1] <= table[upper] - wanted
        return len(self) - 1 - torch.where(nearer_below, upper - 1, upper)


def _from_betas(betas: Float64[Tensor, " T"]) -> NoiseSchedule:
    return NoiseSchedule(torch.cumprod(1 - betas, dim=0))


def _check_timesteps(timesteps: int) -> None:
    if timesteps < 2:
        raise ValueError(f"schedule.timesteps={timesteps}: a schedule needs at least 2 timesteps")


def _check(timesteps: int, beta_start: float, beta_end: float) -> None:
    _check_timesteps(timesteps)
    if not 0 < beta_start < beta_end < 1:
        raise ValueError(
            f"schedule.beta_start={beta_start}, beta_end={beta_end}: betas must satisfy 0 < beta_start < beta_end < 1"
        )


def linear(timesteps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> NoiseSchedule:
    """Betas linear in t (Ho et al. 2020)."""
    _check(timesteps, beta_start, beta_end)
    return _from_betas(torch.linspace(beta_start, beta_end, timesteps, dtype=torch.float64))


def scaled_linear(timesteps: int = 1000, beta_start: float = 0.00085, beta_end: float = 0.012) -> NoiseSchedule:
    """Betas linear in sqrt(beta): what latent diffusion and Stable Diffusion call "linear" (Rombach et al. 2022)."""
    _check(timesteps, beta_start, beta_end)
    roots = torch.linspace(beta_start**0.5, beta_end**0.5, timesteps, dtype=torch.float64)
    return _from_betas(roots**2)


def cosine(timesteps: int = 1000, offset: float = 0.008, max_beta: float = 0.999) -> NoiseSchedule:
    """alphas_cumprod follows cos^2 (Nichol & Dhariwal 2021, eq. 17), betas clipped at `max_beta`."""
    _check_timesteps(timesteps)
    if not 0 < max_beta < 1:
        raise ValueError(f"schedule.max_beta={max_beta}: a beta lies between 0 and 1; 0.999 is the paper's limit")
    t = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    curve = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
    return _from_betas((1 - curve[1:] / curve[:-1]).clamp(max=max_beta))
