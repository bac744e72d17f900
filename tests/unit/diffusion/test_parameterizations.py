"""Every parameterization inverts itself, and agrees with its formula in float64."""

from __future__ import annotations

import importlib
import inspect
import math

import pytest
import torch

from ldmlab.diffusion import parameterizations
from ldmlab.diffusion.parameterizations import (
    CleanLatents,
    Epsilon,
    FlowVelocity,
    Parameterization,
    PosteriorMean,
    Velocity,
    clean_error_scale,
    convert_prediction,
)
from ldmlab.diffusion.process import add_noise
from ldmlab.diffusion.schedules import NoiseSchedule, cosine, linear, rectified_flow
from ldmlab.types import Level

CLASSES = [
    found
    for _, found in inspect.getmembers(importlib.import_module(parameterizations.__name__), inspect.isclass)
    if found.__module__ == parameterizations.__name__ and found is not Parameterization
]
SCHEDULES = {"linear": linear(), "cosine": cosine(), "rectified flow": rectified_flow()}


def made(kind: type[Parameterization], schedule: NoiseSchedule) -> Parameterization:
    return PosteriorMean(schedule) if kind is PosteriorMean else kind()


def level(*angles: float) -> Level:
    """Variance-preserving levels at angles: alpha = cos, sigma = sin."""
    table = torch.tensor(angles, dtype=torch.float64)
    return Level(table.cos(), table.sin())


def by_hand(kind: type[Parameterization], x0: float, eps: float, t: int, schedule: NoiseSchedule) -> float:
    """The papers' formulas in plain Python."""
    here, before = schedule.level(torch.tensor(t)), schedule.level(torch.tensor(t - 1))
    alpha, sigma = float(here.alpha), float(here.sigma)
    if kind is PosteriorMean:  # Ho et al. 2020, eq. 7, in alphas of single steps
        step = alpha / float(before.alpha)
        beta = sigma**2 - step**2 * float(before.sigma) ** 2
        x = alpha * x0 + sigma * eps
        return (float(before.alpha) * beta * x0 + step * float(before.sigma) ** 2 * x) / sigma**2
    return {
        CleanLatents: x0,
        Epsilon: eps,
        Velocity: alpha * eps - sigma * x0,
        FlowVelocity: eps - x0,
    }[kind]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_target_is_the_papers_and_stands_for_the_clean_latents(kind: type[Parameterization], schedule: str) -> None:
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    t = torch.tensor([0, 1, 500, 990])
    levels = SCHEDULES[schedule].level(t)
    parameterization = made(kind, SCHEDULES[schedule])
    target = parameterization.target(latents, noise, levels)
    for row in range(4):
        pairs = zip(latents[row].tolist(), noise[row].tolist(), strict=True)
        wanted = [by_hand(kind, x0, eps, int(t[row]), SCHEDULES[schedule]) for x0, eps in pairs]
        assert target[row].tolist() == pytest.approx(wanted, rel=1e-9)
    found = parameterization.denoised(target, add_noise(latents, noise, levels), levels)
    torch.testing.assert_close(found, latents, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("wanted", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("source", CLASSES, ids=lambda kind: kind.__name__)
def test_each_converts_into_every_other(
    source: type[Parameterization], wanted: type[Parameterization], schedule: str
) -> None:
    """Whatever x_0 and noise a prediction stands for, the other's formula of these two is what it becomes."""
    t = 400
    level = SCHEDULES[schedule].level(torch.tensor([t]))
    x0, eps = 0.7, -1.2
    x = add_noise(*(torch.tensor([[v]], dtype=torch.float64) for v in (x0, eps)), level)
    prediction = torch.tensor([[by_hand(source, x0, eps, t, SCHEDULES[schedule])]], dtype=torch.float64)
    ends = (made(kind, SCHEDULES[schedule]) for kind in (source, wanted))
    found = convert_prediction(prediction, x, level, *ends)
    assert found.item() == pytest.approx(by_hand(wanted, x0, eps, t, SCHEDULES[schedule]), rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_clean_error_scale_is_the_derivative_in_closed_form(schedule: str) -> None:
    level = SCHEDULES[schedule].level(torch.tensor([1, 400, 900]))
    alpha, sigma = level.alpha, level.sigma
    for kind, wanted in (
        (CleanLatents(), torch.ones(3, dtype=torch.float64)),
        (Epsilon(), alpha / sigma),
        (Velocity(), (alpha**2 + sigma**2) / sigma),
        (FlowVelocity(), (alpha + sigma) / sigma),
    ):
        torch.testing.assert_close(clean_error_scale(kind, level), wanted)


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
