"""The walk back to the noise, against the sampler and against a target whose paths are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ldmlab.diffusion.schedules import NoiseSchedule, cosine, rectified_flow, scaled_linear
from ldmlab.editing.inversion.ddim import DDIMInversion, walk_back
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.euler import Euler
from ldmlab.types import Level

MU, STD = 0.7, 0.4
SCHEDULES = {
    "scaled_linear": scaled_linear(),
    "cosine": cosine(),
    "zero_terminal_snr": cosine(zero_terminal_snr=True),
    "rectified_flow": rectified_flow(),
}


def gaussian(x: Tensor, level: Level) -> Tensor:
    """The best estimate where data is N(MU, STD^2) in every dimension."""
    alpha, sigma = level.like(x)
    return MU + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (x - alpha * MU)


def noise_of(latents: Tensor, level: Level) -> Tensor:
    """The probability flow keeps a point's distance from the mean in standard deviations."""
    alpha, sigma = level.like(latents)
    return alpha * MU + (alpha**2 * STD**2 + sigma**2).sqrt() * (latents - MU) / STD


LATENTS = torch.linspace(MU - 3 * STD, MU + 3 * STD, 12, dtype=torch.float64).reshape(1, 3, 2, 2)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_many_steps_lead_to_the_noise_of_the_closed_form(schedule: NoiseSchedule) -> None:
    """An error of first order: it halves from one number of steps to twice as many."""
    errors = []
    for steps in (50, 100, 200):
        levels = DDIM(steps).levels(schedule)
        walked = walk_back(gaussian, LATENTS, levels)
        errors.append(float((walked[0] - noise_of(LATENTS, levels[0])).abs().max()))
    assert errors[0] < 0.3
    orders = [math.log2(errors[i] / errors[i + 1]) for i in (0, 1)]
    assert orders == pytest.approx([1, 1], abs=0.25)


@pytest.mark.parametrize("last_level", ["clean", "least_noisy"])
@pytest.mark.parametrize("sampler", [DDIM, Euler])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_solved_steps_are_those_of_the_sampler_backwards(
    schedule: NoiseSchedule, sampler: type[DDIM | Euler], last_level: str
) -> None:
    chosen = sampler(10, last_level=last_level)
    levels = chosen.levels(schedule)
    walked = walk_back(gaussian, LATENTS, levels, iterations=200)
    assert len(walked) == 11
    torch.testing.assert_close(chosen.sample(gaussian, walked[0], levels), LATENTS, rtol=0, atol=1e-9)


def test_the_last_point_is_the_latents_and_a_step_calls_the_network_as_often_as_asked() -> None:
    seen = []

    def denoise(x: Tensor, level: Level) -> Tensor:
        seen.append(float(level.sigma))
        return gaussian(x, level)

    levels = DDIM(4).levels(cosine())
    walked = walk_back(denoise, LATENTS, levels, iterations=3)
    assert walked[-1] is LATENTS
    assert seen == [float(levels[i].sigma) for i in (3, 2, 1, 0) for _ in range(3)]


@pytest.mark.parametrize("iterations", [0, -1])
def test_no_iteration(iterations: int) -> None:
    with pytest.raises(ValueError, match=f"inversion.iterations={iterations}: estimate each step at least once"):
        DDIMInversion(iterations)
