"""Samplers on data whose answer is known.

Data ~ N(mu, s^2) in every dimension. Then the best denoiser is E[x_0 | x_t] = mu + alpha s^2 / v (x_t - alpha mu) with
v = alpha^2 s^2 + sigma^2: linear, so that every sampler's output distribution can be worked out.
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ldmlab.diffusion.schedules import linear, scaled_linear
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.types import Level

MU, S = 0.7, 0.4
SCHEDULES = {"linear": linear(), "scaled_linear": scaled_linear()}
COUNT = 20_000


def gain(level: Level) -> float:
    alpha, sigma = float(level.alpha), float(level.sigma)
    return alpha * S**2 / (alpha**2 * S**2 + sigma**2)


def exact(x: Tensor, level: Level) -> Tensor:
    return MU + gain(level) * (x - float(level.alpha) * MU)


def normal(seed: int, count: int = COUNT) -> Tensor:
    return torch.randn(count, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def run(sampler: Sampler, noise: Tensor, schedule: str, noise_seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(noise_seed)

    def step_noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    return sampler.sample(exact, noise, sampler.levels(SCHEDULES[schedule]), SamplerHooks(step_noise=step_noise))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", [DDPM(1000), DDIM(1000), DDIM(1000, eta=1.0), DDIM(1000, eta=0.5)])
def test_many_steps_reach_the_target(sampler: Sampler, schedule: str) -> None:
    """But for the 1000 steps themselves, the start at N(0, 1) and the draw."""
    out = run(sampler, normal(0, 4000), schedule)
    assert float(out.mean()) == pytest.approx(MU, abs=0.045)
    assert float(out.std()) == pytest.approx(S, rel=0.04)


def ddim_line(levels: Level) -> tuple[float, float]:
    """The eta = 0 sampler as x_0 = slope * noise + offset, step by step."""
    slope, offset = 1.0, 0.0
    for index in range(len(levels) - 1):
        level, lower = levels[index], levels[index + 1]
        alpha, sigma = float(level.alpha), float(level.sigma)
        # eps = (x - alpha x_0) / sigma and x_0 = MU + g (x - alpha MU)
        g = gain(level)
        eps_slope, eps_offset = (1 - alpha * g) / sigma, -alpha * MU * (1 - alpha * g) / sigma
        a = float(lower.alpha) * g + float(lower.sigma) * eps_slope
        b = float(lower.alpha) * MU * (1 - alpha * g) + float(lower.sigma) * eps_offset
        slope, offset = a * slope, a * offset + b
    return slope, offset


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50, 1000])
def test_deterministic_ddim_is_its_recursion(steps: int, spacing: str) -> None:
    sampler = DDIM(steps, spacing)
    slope, offset = ddim_line(sampler.levels(SCHEDULES["scaled_linear"]))
    noise = normal(0, 16)
    out = run(sampler, noise, "scaled_linear")
    torch.testing.assert_close(out, slope * noise + offset, rtol=1e-10, atol=1e-10)


def test_deterministic_ddim_converges_to_the_flow_of_the_ode() -> None:
    """The probability flow carries x_T to MU + S (x_T - alpha_T MU) / sqrt(v_T); the error is of first order."""
    errors = []
    for steps in (125, 250, 500):
        sampler = DDIM(steps)
        levels = sampler.levels(SCHEDULES["linear"])
        alpha, sigma = float(levels.alpha[0]), float(levels.sigma[0])
        slope = S / math.sqrt(alpha**2 * S**2 + sigma**2)
        found_slope, found_offset = ddim_line(levels)
        errors.append(abs(found_slope - slope))
        assert found_offset == pytest.approx(MU - slope * alpha * MU, abs=20 / steps)
    assert errors[-1] < 0.01
    assert all(coarse / fine == pytest.approx(2, rel=0.25) for coarse, fine in pairwise(errors))


def ddpm_moments(betas: Tensor) -> tuple[float, float]:
    """Mean and standard deviation after ancestral sampling over all timesteps, from Ho et al. 2020, eq. 7, in betas."""
    abar = torch.cumprod(1 - betas, 0).tolist()
    mean, variance = 0.0, 1.0
    for t in reversed(range(len(abar))):
        before = abar[t - 1] if t else 1.0
        beta = float(betas[t])
        alpha = abar[t] ** 0.5
        g = alpha * S**2 / (abar[t] * S**2 + 1 - abar[t])
        x0_weight = before**0.5 * beta / (1 - abar[t])
        x_weight = (1 - beta) ** 0.5 * (1 - before) / (1 - abar[t])
        a, b = x0_weight * g + x_weight, x0_weight * MU * (1 - alpha * g)
        mean, variance = a * mean + b, a**2 * variance + (1 - before) / (1 - abar[t]) * beta
    return mean, variance**0.5


@pytest.mark.parametrize("sampler", [DDPM(60), DDIM(60, eta=1.0)])
def test_ancestral_sampling_has_ddpms_moments(sampler: Sampler) -> None:
    schedule = linear(60, 0.001, 0.3)
    mean, std = ddpm_moments(torch.linspace(0.001, 0.3, 60, dtype=torch.float64))
    generator = torch.Generator().manual_seed(3)
    hooks = SamplerHooks(step_noise=lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype))
    out = sampler.sample(exact, normal(2), sampler.levels(schedule), hooks)
    assert float(out.mean()) == pytest.approx(mean, abs=4 * std / COUNT**0.5)
    assert float(out.std()) == pytest.approx(std, rel=4 / (2 * COUNT) ** 0.5)
    assert std == pytest.approx(S, rel=0.15)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_ddim_at_eta_one_is_ddpm_on_the_same_grid(steps: int, spacing: str) -> None:
    noise = normal(0, 64)
    ancestral = run(DDPM(steps, spacing), noise, "scaled_linear")
    implicit = run(DDIM(steps, spacing, eta=1.0), noise, "scaled_linear")
    torch.testing.assert_close(implicit, ancestral, rtol=1e-9, atol=1e-9)
    if steps > 1:
        assert not torch.allclose(ancestral, run(DDPM(steps, spacing), noise, "scaled_linear", noise_seed=2))


@pytest.mark.parametrize("sampler", [DDPM(2), DDIM(2), DDIM(2, eta=1.0), DDIM(1)])
def test_the_callers_noise_is_not_written_to(sampler: Sampler) -> None:
    noise = normal(0, 8)
    before = noise.clone()
    run(sampler, noise, "linear")
    assert torch.equal(noise, before)
