"""Levels, an x and a network for single steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.types import Level


@pytest.fixture
def levels() -> Level:
    """Four variance-preserving levels of falling noise, and clean latents."""
    level = scaled_linear().level(torch.tensor([900, 700, 400, 100]))
    one = torch.ones(1, dtype=torch.float64)
    return Level(torch.cat([level.alpha, one]), torch.cat([level.sigma, 0 * one]))


@pytest.fixture
def flow_levels() -> Level:
    """A rectified flow's, from pure noise to clean latents."""
    sigma = torch.linspace(1, 0, 5, dtype=torch.float64)
    return Level(1 - sigma, sigma)


@pytest.fixture
def x() -> Tensor:
    return torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(2, 6)


@pytest.fixture
def denoise() -> Callable[[Tensor, Level], Tensor]:
    return lambda x, level: torch.tanh(level.alpha * x + level.sigma)
