"""Losses against closed forms in float64 that are written here."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.objectives import Hybrid, MinSNR, Objective, Simple
from ldmlab.diffusion.parameterizations import (
    CleanLatents,
    Epsilon,
    FlowVelocity,
    Parameterization,
    PosteriorMean,
    Velocity,
)
from ldmlab.diffusion.schedules import NoiseSchedule, linear, rectified_flow, scaled_linear
from ldmlab.types import Conditioning

SCHEDULE = scaled_linear()
SHAPE = (4, 2, 3, 3)
GENERATOR = torch.Generator().manual_seed(0)
LATENTS, NOISE, OUTPUT, VARIANCE = torch.randn(4, *SHAPE, generator=GENERATOR, dtype=torch.float64)
T = torch.tensor([0, 1, 600, 999])


class Backbone(nn.Module):
    """Gives what it holds."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = nn.Parameter(output.clone())

    def forward(self, x: Tensor, timesteps: Tensor, cond: Conditioning, control: Any = None) -> Tensor:
        return self.output


def loss(
    objective: Objective,
    parameterization: Parameterization,
    output: Tensor = OUTPUT,
    schedule: NoiseSchedule = SCHEDULE,
    t: Tensor = T,
) -> Tensor:
    denoiser = Denoiser(Backbone(output), schedule, parameterization, objective)
    return denoiser.loss(LATENTS, NOISE, t, Conditioning()).detach()


def abar(t: int, schedule: NoiseSchedule = SCHEDULE) -> float:
    """Of a timestep, by multiplying up the betas; 1 before the first."""
    product = 1.0
    for beta in schedule.betas[: t + 1].tolist():
        product *= 1 - beta
    return product


@pytest.mark.parametrize("gamma", [5.0, 1.0])
def test_min_snr_weights(gamma: float) -> None:
    """min(SNR, g) times 1 / SNR for epsilon, 1 / (SNR + 1) for v, 1 for x_0 (Hang et al. 2023)."""
    snr = torch.tensor([abar(int(t)) / (1 - abar(int(t))) for t in T], dtype=torch.float64)
    capped = snr.clamp(max=gamma)
    for parameterization, weight in (
        (Epsilon(), capped / snr),
        (Velocity(), capped / (snr + 1)),
        (CleanLatents(), capped),
    ):
        ratio = loss(MinSNR(gamma), parameterization) / loss(Simple(), parameterization)
        torch.testing.assert_close(ratio, weight, rtol=1e-7, atol=0)


def test_min_snr_weighs_the_error_of_clean_latents_whatever_is_predicted() -> None:
    """All parameterizations of one clean estimate have the same min-SNR loss."""
    t = torch.tensor([3, 30, 60, 98])
    for schedule in (rectified_flow(100), linear(100)):
        level = schedule.level(t)
        alpha, sigma = level.like(LATENTS)
        x = alpha * LATENTS + sigma * NOISE
        clean = LATENTS + 0.3 * OUTPUT
        eps = (x - alpha * clean) / sigma
        snr = (level.alpha / level.sigma) ** 2
        wanted = snr.clamp(max=5) * (clean - LATENTS).square().flatten(1).mean(1)
        parameterizations: list[Parameterization] = [CleanLatents(), Velocity(), FlowVelocity()]
        parameterizations += [] if schedule.ends_in_noise else [PosteriorMean(schedule), Epsilon()]
        for parameterization in parameterizations:
            found = loss(MinSNR(), parameterization, parameterization.target(clean, eps, level), schedule, t)
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-9)


def normal_mass(value: float, mean: float, std: float, width: float) -> float:
    """By the error function, in the tail that keeps its precision."""
    low = (abs(value - mean) - width / 2) / std / math.sqrt(2)
    high = (abs(value - mean) + width / 2) / std / math.sqrt(2)
    return 0.5 * (math.erfc(low) - math.erfc(high))


def bits_by_hand(t: int, x0: float, eps: float, predicted_eps: float, v: float, schedule: NoiseSchedule) -> float:
    """One value's term of the bound, from the formulas of Ho et al. 2020 and Nichol & Dhariwal 2021."""
    here, before = abar(t, schedule), abar(t - 1, schedule)
    beta = 1 - here / before
    tilde = (1 - before) / (1 - here) * beta
    first, second = abar(0, schedule), abar(1, schedule)
    clipped = tilde if t > 0 else (1 - first) / (1 - second) * (1 - second / first)
    x = math.sqrt(here) * x0 + math.sqrt(1 - here) * eps
    guess = (x - math.sqrt(1 - here) * predicted_eps) / math.sqrt(here)
    weights = math.sqrt(before) * beta / (1 - here), math.sqrt(1 - beta) * (1 - before) / (1 - here)
    true_mean, mean = (weights[0] * clean + weights[1] * x for clean in (x0, guess))
    fraction = (v + 1) / 2
    log_variance = fraction * math.log(beta) + (1 - fraction) * math.log(clipped)
    if t == 0:
        return -math.log2(normal_mass(x0, mean, math.exp(log_variance / 2), 2 / 255))
    ratio = clipped / math.exp(log_variance)
    kl = 0.5 * (ratio - 1 - math.log(ratio) + (true_mean - mean) ** 2 / math.exp(log_variance))
    return kl / math.log(2)


@pytest.mark.parametrize("schedule", [SCHEDULE, linear(200)], ids=["T=1000", "T=200"])
def test_hybrid_is_simple_plus_the_bound_in_bits(schedule: NoiseSchedule) -> None:
    t = torch.tensor([0, 1, 120, len(schedule) - 1])
    predicted = NOISE + 0.05 * OUTPUT
    found = loss(Hybrid(), Epsilon(), torch.cat([predicted, VARIANCE], dim=1), schedule, t)
    simple = (predicted - NOISE).square().flatten(1).mean(1)
    for row in range(4):
        columns = (tensor[row].flatten().tolist() for tensor in (LATENTS, NOISE, predicted, VARIANCE))
        terms = [bits_by_hand(int(t[row]), *values, schedule) for values in zip(*columns, strict=True)]
        wanted = float(simple[row]) + len(schedule) / 1000 * sum(terms) / len(terms)
        assert float(found[row]) == pytest.approx(wanted, rel=1e-6)


def test_the_bound_trains_the_variance_and_not_the_mean() -> None:
    output = torch.cat([NOISE + 0.05 * OUTPUT, VARIANCE], dim=1)
    grads = {}
    for objective in (Hybrid(), Simple()):
        backbone = Backbone(output if objective.learns_variance else output[:, :2])
        denoiser = Denoiser(backbone, SCHEDULE, Epsilon(), objective)
        denoiser.loss(LATENTS, NOISE, T, Conditioning()).sum().backward()
        grads[type(objective)] = backbone.output.grad
    assert grads[Hybrid] is not None
    assert grads[Simple] is not None
    torch.testing.assert_close(grads[Hybrid][:, :2], grads[Simple])
    assert bool((grads[Hybrid][:, 2:] != 0).all())


def test_bad_gamma() -> None:
    with pytest.raises(ValueError, match=r"objective.gamma=0: .* above 0"):
        MinSNR(0)
