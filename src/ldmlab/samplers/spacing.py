"""Which noise levels a sampler of S steps visits, from the noisiest down, on a schedule of T timesteps."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.types import Level

TIMESTEP_SPACINGS = ("leading", "trailing", "linspace")
SPACINGS = (*TIMESTEP_SPACINGS, "karras")
RHO = 7.0
"""How much more densely the Karras spacing visits small noise ratios."""


def check_spacing(spacing: str) -> None:
    """Refuse a spacing that is not known.

    Raises:
        ValueError: it is none of `SPACINGS`.
    """
    if spacing not in SPACINGS:
        raise ValueError(f"sampler.spacing={spacing}: choose one of {', '.join(SPACINGS)}")


def spaced_levels(steps: int, schedule: NoiseSchedule, spacing: str) -> Level:
    """S levels of falling noise: those of `spaced_timesteps`, or for "karras" those of `karras_ratios`.

    Raises:
        ValueError: steps outside [1, T], an unknown spacing, or, on a schedule that ends in pure noise, "karras" or a
            spacing that does not start there.
    """
    if spacing != "karras":
        timesteps = spaced_timesteps(steps, len(schedule), spacing)
        if schedule.ends_in_noise and timesteps[0] < len(schedule) - 1:
            raise ValueError(
                f"sampler.spacing={spacing}: starts from pure noise at a timestep that bears signal, but this schedule "
                "ends in pure noise; use sampler.spacing=trailing (Lin et al. 2024)"
            )
        return schedule.level(timesteps)
    _check_steps(steps, len(schedule))
    ends = schedule.level(torch.tensor([len(schedule) - 1, 0]))
    if ends.alpha[0] == 0:
        raise ValueError(
            "sampler.spacing=karras: this schedule ends in pure noise, which has no largest noise ratio to space from; "
            "use sampler.spacing=trailing"
        )
    noisiest, least_noisy = (ends.sigma / ends.alpha).tolist()
    return schedule.at_ratio(karras_ratios(steps, noisiest, least_noisy))


def karras_ratios(steps: int, noisiest: float, least_noisy: float) -> Float64[Tensor, " S"]:
    """Noise ratios sigma / alpha whose roots of order `RHO` are evenly spaced (Karras et al. 2022, eq. 5)."""
    return torch.linspace(noisiest ** (1 / RHO), least_noisy ** (1 / RHO), steps, dtype=torch.float64) ** RHO


def spaced_timesteps(steps: int, timesteps: int, spacing: str) -> Int[Tensor, " S"]:
    """S timesteps in [0, T), strictly falling.

    - leading: 1 + multiples of floor(T / S), as Stable Diffusion does: 981, 961 ... 1 for S=50, T=1000. When S does
      not divide T or S = T, the offset of 1 is left out where it would step over T - 1.
    - trailing: T - 1 and down by T / S, so that sampling starts at the last level: 999, 979 ... 19 for S=50, T=1000.
    - linspace: evenly from T - 1 to 0.

    Raises:
        ValueError: steps outside [1, T], or a spacing that is none of these.
    """
    _check_steps(steps, timesteps)
    index = torch.arange(steps, 0, -1, dtype=torch.float64)
    if spacing == "trailing":
        return (index * timesteps / steps).round().long() - 1
    if spacing == "linspace":
        return torch.linspace(timesteps - 1, 0, steps, dtype=torch.float64).round().long()
    if spacing == "leading":
        chosen = (index.long() - 1) * (timesteps // steps)
        return chosen + 1 if chosen[0] + 1 < timesteps else chosen
    raise ValueError(f"sampler.spacing={spacing}: choose one of {', '.join(TIMESTEP_SPACINGS)}")


def _check_steps(steps: int, timesteps: int) -> None:
    if not 1 <= steps <= timesteps:
        raise ValueError(
            f"sampler.steps={steps}: choose between 1 and the {timesteps} timesteps that the model was trained on"
        )
