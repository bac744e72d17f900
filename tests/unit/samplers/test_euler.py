"""Euler's method along the rectified flow."""

from __future__ import annotations

import torch
from torch import Tensor

from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.euler import Euler
from ldmlab.types import Denoise, Level


def test_it_is_ddim_without_noise(levels: Level, flow_levels: Level, x: Tensor, denoise: Denoise) -> None:
    for grid in (levels, flow_levels):
        torch.testing.assert_close(Euler().sample(denoise, x, grid), DDIM().sample(denoise, x, grid))


def test_on_a_rectified_flow_it_follows_the_velocity(flow_levels: Level, x: Tensor, denoise: Denoise) -> None:
    """x moves by the fall of sigma times the velocity, noise minus latents."""
    level, lower = flow_levels[1], flow_levels[2]
    clean = denoise(x, level)
    velocity = (x - level.alpha * clean) / level.sigma - clean
    wanted = x - 0.25 * velocity
    torch.testing.assert_close(Euler().sample(denoise, x, flow_levels[1:3]), wanted)
    assert float(level.sigma - lower.sigma) == 0.25
