"""Noise schedules: a table of levels over T integer timesteps, in float64. t = 0 is the least noisy timestep.

A schedule moves along one of two paths. Variance-preserving diffusion keeps alpha^2 + sigma^2 = 1, with
alpha_t^2 = alphas_cumprod_t; rectified flow keeps alpha + sigma = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from ldmlab.types import Level

MOST_TIMESTEPS = 100_000
FAR = 1e4
"""Stands for an infinite log-SNR where distances between log-SNRs are taken."""


@dataclass(frozen=True)
class NoiseSchedule:
    """A table of noise levels, one for each timestep that the network is trained on.

    Attributes:
        signal: alpha^power of each timestep: alphas_cumprod on a variance-preserving path, alpha of a rectified flow.
        power: alpha^power + sigma^power = 1; 2 preserves variance, 1 is rectified flow.
    """

    signal: Float64[Tensor, " T"]
    power: int = 2

    def __post_init__(self) -> None:
        inside = (self.signal >= 0) & (self.signal < 1)
        if not bool(inside.all()) or bool((self.signal.diff() >= 0).any()):
            raise ValueError("schedule: alphas_cumprod must fall strictly and stay inside [0, 1); check the betas")

    def __len__(self) -> int:
        return len(self.signal)

    @property
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """alpha_t^2 of every timestep, the product of 1 - beta up to it (Ho et al. 2020, eq. 4)."""
        return self.signal ** (2 / self.power)

    @property
    def betas(self) -> Float64[Tensor, " T"]:
        """beta_t = 1 - alphas_cumprod_t / alphas_cumprod_{t-1} of every timestep; alphas_cumprod_{-1} is 1."""
        previous = torch.cat([self.signal.new_ones(1), self.alphas_cumprod[:-1]])
        return 1 - self.alphas_cumprod / previous

    @property
    def ends_in_noise(self) -> bool:
        """Whether alpha is 0 at the last timestep (zero terminal SNR, rectified flow)."""
        return bool(self.signal[-1] == 0)

    def level(self, timesteps: Int[Tensor, "*shape"]) -> Level:
        """The noise levels of integer timesteps in [0, T), in float64 on the CPU; -1 is the clean level."""
        return self._level(torch.cat([self.signal, self.signal.new_ones(1)])[timesteps.cpu()])

    def at_ratio(self, ratio: Float64[Tensor, "*shape"]) -> Level:
        """The levels on this path whose sigma / alpha is `ratio`, between timesteps too."""
        return self._level(1 / (1 + ratio**self.power))

    def timesteps(self, level: Level) -> Int[Tensor, "*shape"]:
        """The timesteps whose log-SNR is nearest to the given levels'."""
        return nearest_timesteps(self.rising_log_snr(), Level(level.alpha.cpu(), level.sigma.cpu()))

    def rising_log_snr(self) -> Float64[Tensor, " T"]:
        """log(alpha^2 / sigma^2) of every timestep, from the noisiest to the least noisy; `FAR` stands for infinity."""
        return self.level(torch.arange(len(self))).log_snr.clamp(-FAR, FAR).flip(0)

    def _level(self, signal: Float64[Tensor, "*shape"]) -> Level:
        return Level(signal ** (1 / self.power), (1 - signal) ** (1 / self.power))


def nearest_timesteps(rising_log_snr: Float64[Tensor, " T"], level: Level) -> Int[Tensor, "*shape"]:
    """The timesteps whose log-SNR is nearest to the given levels', in a table on their device."""
    last = len(rising_log_snr) - 1
    wanted = level.log_snr.to(rising_log_snr.dtype).clamp(-FAR, FAR)
    upper = torch.searchsorted(rising_log_snr, wanted).clamp(1, last)
    nearer_below = wanted - rising_log_snr.take(upper - 1) <= rising_log_snr.take(upper) - wanted
    return last - torch.where(nearer_below, upper - 1, upper)


def _variance_preserving(alphas_cumprod: Float64[Tensor, " T"], zero_terminal_snr: bool) -> NoiseSchedule:
    return NoiseSchedule(_without_signal_at_the_end(alphas_cumprod) if zero_terminal_snr else alphas_cumprod)


def _without_signal_at_the_end(alphas_cumprod: Float64[Tensor, " T"]) -> Float64[Tensor, " T"]:
    """Shift and scale alpha so that the first timestep keeps its level and the last has none (Lin et al. 2024, alg. 1).

    The slides' alpha_t^2; a network on such a schedule cannot predict noise, and samples trailing timesteps.
    """
    alpha = alphas_cumprod.sqrt()
    return ((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])) ** 2


def _from_betas(betas: Float64[Tensor, " T"], zero_terminal_snr: bool) -> NoiseSchedule:
    return _variance_preserving(torch.cumprod(1 - betas, dim=0), zero_terminal_snr)


def _check_timesteps(timesteps: int) -> None:
    if not 2 <= timesteps <= MOST_TIMESTEPS:
        raise ValueError(f"schedule.timesteps={timesteps}: a schedule has 2 to {MOST_TIMESTEPS} timesteps")


def _check(timesteps: int, beta_start: float, beta_end: float) -> None:
    _check_timesteps(timesteps)
    if not 0 < beta_start < beta_end < 1:
        raise ValueError(
            f"schedule.beta_start={beta_start}, beta_end={beta_end}: betas must satisfy 0 < beta_start < beta_end < 1"
        )


def linear(
    timesteps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02, zero_terminal_snr: bool = False
) -> NoiseSchedule:
    """Betas linear in t (Ho et al. 2020)."""
    _check(timesteps, beta_start, beta_end)
    return _from_betas(torch.linspace(beta_start, beta_end, timesteps, dtype=torch.float64), zero_terminal_snr)


def scaled_linear(
    timesteps: int = 1000, beta_start: float = 0.00085, beta_end: float = 0.012, zero_terminal_snr: bool = False
) -> NoiseSchedule:
    """Betas linear in sqrt(beta): what latent diffusion and Stable Diffusion call "linear" (Rombach et al. 2022)."""
    _check(timesteps, beta_start, beta_end)
    roots = torch.linspace(beta_start**0.5, beta_end**0.5, timesteps, dtype=torch.float64)
    return _from_betas(roots**2, zero_terminal_snr)


def cosine(
    timesteps: int = 1000, offset: float = 0.008, max_beta: float = 0.999, zero_terminal_snr: bool = False
) -> NoiseSchedule:
    """alphas_cumprod follows cos^2 (Nichol & Dhariwal 2021, eq. 17), betas clipped at `max_beta`."""
    _check_timesteps(timesteps)
    if not 0 < max_beta < 1:
        raise ValueError(f"schedule.max_beta={max_beta}: a beta lies between 0 and 1; 0.999 is the paper's limit")
    if not offset >= 0:
        raise ValueError(f"schedule.offset={offset}: the offset must be at least 0; 0.008 is the paper's")
    t = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    curve = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
    return _from_betas((1 - curve[1:] / curve[:-1]).clamp(max=max_beta), zero_terminal_snr)


def rectified_flow(timesteps: int = 1000, shift: float = 1.0) -> NoiseSchedule:
    """Straight paths: sigma = (t + 1) / T and alpha = 1 - sigma (Liu et al. 2023).

    Args:
        timesteps: T.
        shift: moves the timesteps to noisier levels, sigma -> shift sigma / (1 + (shift - 1) sigma), for larger
            pictures (Esser et al. 2024, eq. 23).
    """
    _check_timesteps(timesteps)
    if not shift > 0:
        raise ValueError(f"schedule.shift={shift}: the shift must be above 0; 1 leaves the levels evenly spaced")
    sigma = torch.arange(1, timesteps + 1, dtype=torch.float64) / timesteps
    return NoiseSchedule(1 - shift * sigma / (1 + (shift - 1) * sigma), power=1)
