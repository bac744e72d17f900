"""Every parameterization inverts itself, and agrees with its formula in float64."""

from __future__ import annotations

import importlib
import inspect
import math

import pytest
import torch

from ldmlab.diffusion import parameterizations
from ldmlab.diffusion.parameterizations import Epsilon, Parameterization, Velocity
from ldmlab.diffusion.process import add_noise
from ldmlab.types import Level

CLASSES = [
    found
    for _, found in inspect.getmembers(importlib.import_module(parameterizations.__name__), inspect.isclass)
    if found.__module__ == parameterizations.__name__ and found is not Parameterization
]


def level(*angles: float) -> Level:
    """Variance-preserving levels at angles: alpha = cos, sigma = sin."""
    table = torch.tensor(angles, dtype=torch.float64)
    return Level(table.cos(), table.sin())


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_target_stands_for_the_clean_latents(kind: type[Parameterization]) -> None:
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, 3, 4, 2, 2, generator=generator, dtype=torch.float64)
    levels = level(0.1, 0.8, 1.5)
    parameterization = kind()
    x = add_noise(latents, noise, levels)
    found = parameterization.denoised(parameterization.target(latents, noise, levels), x, levels)
    torch.testing.assert_close(found, latents, rtol=1e-12, atol=1e-12)


def test_epsilon_by_hand() -> None:
    x, prediction = torch.full((1, 1), 2.0), torch.full((1, 1), 0.5)
    at = Level(torch.tensor(0.8), torch.tensor(0.6))
    assert Epsilon().denoised(prediction, x, at).item() == pytest.approx((2 - 0.6 * 0.5) / 0.8)
    assert Epsilon().target(x, prediction, at) is prediction


def test_velocity_by_hand_and_as_a_derivative() -> None:
    """v = dx / dphi at alpha = cos(phi), sigma = sin(phi)."""
    latents, noise, phi, step = 1.3, -0.7, 0.6, 1e-6
    at = level(phi)
    found = Velocity().target(
        torch.tensor([[latents]], dtype=torch.float64), torch.tensor([[noise]], dtype=torch.float64), at
    )
    after = math.cos(phi + step) * latents + math.sin(phi + step) * noise
    before = math.cos(phi - step) * latents + math.sin(phi - step) * noise
    assert found.item() == pytest.approx((after - before) / (2 * step), rel=1e-6)
    assert found.item() == pytest.approx(math.cos(phi) * noise - math.sin(phi) * latents)


def test_squared_errors_weigh_clean_estimates_by_snr_and_by_snr_plus_one() -> None:
    at = level(1.1)
    x = torch.zeros(1, 1, dtype=torch.float64)
    error = torch.full((1, 1), 0.01, dtype=torch.float64)
    snr = float(at.alpha**2 / at.sigma**2)
    for parameterization, weight in ((Epsilon(), snr), (Velocity(), snr + 1)):
        moved = parameterization.denoised(error, x, at) - parameterization.denoised(torch.zeros_like(x), x, at)
        assert float(error.square()) == pytest.approx(weight * float(moved.square()))
