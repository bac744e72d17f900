"""The step of first order."""

from __future__ import annotations

import torch
from torch import Tensor

from ldmlab.diffusion.process import add_noise
from ldmlab.samplers.first_order import first_order
from ldmlab.types import Level


def test_the_noise_that_x_holds_is_kept(levels: Level, flow_levels: Level, x: Tensor) -> None:
    clean = x.flip(0)
    for grid in (levels, flow_levels):
        for index in range(4):
            carried = first_order(add_noise(clean, x, grid[index]), clean, grid[index], grid[index + 1])
            torch.testing.assert_close(carried, add_noise(clean, x, grid[index + 1]))


def test_it_is_the_exponential_integrator(levels: Level, x: Tensor) -> None:
    """DPM-Solver++ of first order (Lu et al. 2022), with h the growth of log(alpha / sigma)."""
    level, lower = levels[0], levels[1]
    h = (lower.log_snr - level.log_snr) / 2
    wanted = lower.sigma / level.sigma * x - lower.alpha * torch.expm1(-h) * x.flip(0)
    torch.testing.assert_close(first_order(x, x.flip(0), level, lower), wanted)
