"""Inpainting where the answer is known: two numbers with a joint normal distribution, one of which is given.

Data ~ N(mu, C). The best denoiser is E[x_0 | x_t] = mu + alpha C (alpha^2 C + sigma^2 I)^-1 (x_t - alpha mu), and the
other number has mean mu_2 + C_12 / C_11 (k - mu_1) and variance C_22 - C_12^2 / C_11 where the first is k.
"""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from ldmlab.diffusion.schedules import rectified_flow, scaled_linear
from ldmlab.editing.regions.blended import BlendedSampler
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.dpm_solver_2m import DPMSolver2M
from ldmlab.samplers.dpm_solver_2m_sde import DPMSolver2MSDE
from ldmlab.samplers.heun import Heun
from ldmlab.samplers.unipc import UniPC
from ldmlab.types import Level

MU = torch.tensor([0.5, -0.3], dtype=torch.float64)
C = torch.tensor([[1.0, 0.72], [0.72, 0.64]], dtype=torch.float64)
KNOWN = 2.0
MEAN = -0.3 + 0.72 * (KNOWN - 0.5)
STD = math.sqrt(0.64 - 0.72**2)
COUNT = 2000
SCHEDULES = {"scaled_linear": scaled_linear(), "rectified_flow": rectified_flow()}


def exact(x: Tensor, level: Level) -> Tensor:
    alpha, sigma = float(level.alpha), float(level.sigma)
    gain = alpha * C @ torch.linalg.inv(alpha**2 * C + sigma**2 * torch.eye(2, dtype=torch.float64))
    return MU + (x.flatten(1) - alpha * MU).matmul(gain.T).reshape(x.shape)


@cache
def distance(sampler: Sampler, schedule: str, resample: int, jump: int = 1) -> float:
    """Between the conditional distribution and what is drawn: Wasserstein's, both taken as normal."""
    generator = torch.Generator().manual_seed(0)

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    known = torch.tensor([KNOWN, 0.0], dtype=torch.float64).reshape(1, 1, 1, 2)
    inside = torch.tensor([False, True]).reshape(1, 1, 1, 2)
    blended = BlendedSampler(sampler, known, inside, resample, jump)
    start = noise(torch.empty(COUNT, 1, 1, 2, dtype=torch.float64))
    levels = blended.levels(SCHEDULES[schedule])
    out = blended.sample(exact, start, levels, SamplerHooks(step_noise=noise)).flatten(1)
    assert torch.equal(out[:, 0], torch.full_like(out[:, 0], KNOWN))
    return math.hypot(float(out[:, 1].mean()) - MEAN, float(out[:, 1].std()) - STD)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    "sampler",
    [DDIM(25), DDIM(25, eta=1.0), DDPM(25), Heun(25), DPMSolver2M(25), DPMSolver2MSDE(25), UniPC(25)],
    ids=lambda sampler: type(sampler).__name__,
)
def test_jumping_back_leads_to_the_conditional_distribution(sampler: Sampler, schedule: str) -> None:
    """And blending alone does not."""
    alone = distance(sampler, schedule, 1)
    assert alone > 0.25
    assert distance(sampler, schedule, 5) < 0.5 * alone
    assert distance(sampler, schedule, 3, jump=5) < 0.6 * alone


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_more_jumps_the_nearer(schedule: str) -> None:
    """Down to what 60 steps leave."""
    found = [distance(DDPM(60), schedule, resample, 5) for resample in (1, 3, 10)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.08


def test_steps_are_no_substitute() -> None:
    assert distance(DDIM(125), "scaled_linear", 1) > 2 * distance(DDIM(25), "scaled_linear", 5)
