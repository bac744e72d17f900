"""Noise schedules against published end points and an independent computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ldmlab.diffusion.schedules import NoiseSchedule, cosine, linear, rectified_flow, scaled_linear
from ldmlab.types import Level

SCHEDULES = {
    "linear": linear(),
    "scaled_linear": scaled_linear(),
    "cosine": cosine(),
    "short": linear(7, 0.1, 0.5),
    "zero terminal SNR": scaled_linear(zero_terminal_snr=True),
}
FLOWS = {"rectified flow": rectified_flow(), "shifted": rectified_flow(50, shift=3.0)}


@pytest.mark.parametrize(
    ("schedule", "last"),
    [
        (scaled_linear(), 0.004660),
        (scaled_linear(beta_start=0.0015, beta_end=0.0195), 1.423e-4),
        (linear(), 4.036e-5),
    ],
)
def test_last_level_is_the_published_one(schedule: NoiseSchedule, last: float) -> None:
    assert len(schedule) == 1000
    assert float(schedule.alphas_cumprod[-1]) == pytest.approx(last, rel=5e-4)


def test_betas_are_linear_in_what_the_name_says() -> None:
    betas = linear(5, 0.1, 0.3).betas.numpy()
    np.testing.assert_allclose(betas, [0.1, 0.15, 0.2, 0.25, 0.3], rtol=1e-12)
    roots = np.sqrt(scaled_linear(5, 0.01, 0.25).betas.numpy())
    np.testing.assert_allclose(roots, [0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-12)


def test_cosine_is_the_curve_until_the_clip() -> None:
    schedule = cosine(timesteps=100)

    def curve(t: int) -> float:
        return math.cos((t / 100 + 0.008) / 1.008 * math.pi / 2) ** 2

    wanted = [curve(t + 1) / curve(0) for t in range(99)]
    np.testing.assert_allclose(schedule.alphas_cumprod[:-1].numpy(), wanted, rtol=1e-10)
    assert float(schedule.betas[-1]) == pytest.approx(0.999)
    assert float(schedule.alphas_cumprod[-1]) == pytest.approx(wanted[-1] * 0.001)


@pytest.mark.parametrize("name", SCHEDULES)
def test_levels_preserve_variance_in_float64(name: str) -> None:
    schedule = SCHEDULES[name]
    level = schedule.level(torch.arange(len(schedule)))
    assert level.alpha.dtype == torch.float64
    torch.testing.assert_close(level.alpha**2 + level.sigma**2, torch.ones(len(schedule), dtype=torch.float64))
    torch.testing.assert_close(torch.cumprod(1 - schedule.betas, 0), schedule.alphas_cumprod)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", [*SCHEDULES, *FLOWS])
def test_every_timestep_comes_back_from_its_level(name: str, dtype: torch.dtype) -> None:
    schedule = (SCHEDULES | FLOWS)[name]
    t = torch.arange(len(schedule))
    level = schedule.level(t)
    assert torch.equal(schedule.timesteps(Level(level.alpha.to(dtype), level.sigma.to(dtype))), t)
    assert schedule.timesteps(schedule.level(torch.tensor(3))).shape == ()


def test_a_level_between_goes_to_the_nearest_and_the_ends_are_ends() -> None:
    schedule = linear(7, 0.1, 0.5)
    log_snr = schedule.level(torch.arange(7)).log_snr
    between = torch.lerp(log_snr[2], log_snr[3], torch.tensor([0.4, 0.6], dtype=torch.float64))
    level = Level(between.sigmoid().sqrt(), (-between).sigmoid().sqrt())
    assert schedule.timesteps(level).tolist() == [2, 3]
    ends = Level(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    assert schedule.timesteps(ends).tolist() == [0, 6]


@pytest.mark.parametrize("name", SCHEDULES)
def test_levels_of_noise_ratios_are_on_the_path(name: str) -> None:
    schedule = SCHEDULES[name]
    known = schedule.level(torch.arange(len(schedule)))
    found = schedule.at_ratio(known.sigma / known.alpha)
    torch.testing.assert_close(found.alpha, known.alpha)
    torch.testing.assert_close(found.sigma, known.sigma)
    between = schedule.at_ratio(torch.tensor([0.75], dtype=torch.float64))
    assert (float(between.alpha), float(between.sigma)) == (pytest.approx(0.8), pytest.approx(0.6))


@pytest.mark.parametrize("make", [linear, scaled_linear])
def test_bad_betas_are_refused(make: type) -> None:
    with pytest.raises(ValueError, match=r"schedule.timesteps=1: .* 2 to 100000"):
        make(timesteps=1)
    for start, end in [(0.0, 0.1), (0.2, 0.1), (0.1, 1.0), (-0.1, 0.1)]:
        with pytest.raises(ValueError, match=r"0 < beta_start < beta_end < 1"):
            make(beta_start=start, beta_end=end)


def test_bad_tables_are_refused() -> None:
    with pytest.raises(ValueError, match=r"schedule.timesteps=0"):
        cosine(timesteps=0)
    for table in ([0.9, 0.9], [0.5, 0.6], [1.0, 0.5], [0.5, -0.1], [0.9, math.nan]):
        with pytest.raises(ValueError, match="must fall strictly"):
            NoiseSchedule(torch.tensor(table, dtype=torch.float64))


def test_zero_terminal_snr_is_the_papers_algorithm() -> None:
    """Lin et al. (2024), algorithm 1, in numpy: shift so that the last is zero, scale so that the first is kept."""
    plain, rescaled = scaled_linear(), scaled_linear(zero_terminal_snr=True)
    roots = np.sqrt(plain.alphas_cumprod.numpy())
    wanted = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    np.testing.assert_allclose(rescaled.level(torch.arange(1000)).alpha.numpy(), wanted, atol=1e-15)
    assert rescaled.ends_in_noise
    assert not plain.ends_in_noise
    assert float(rescaled.alphas_cumprod[-1]) == 0
    assert rescaled.alphas_cumprod[0] == pytest.approx(float(plain.alphas_cumprod[0]), rel=1e-14)
    for make in (linear, cosine):
        assert make(zero_terminal_snr=True).ends_in_noise


def test_rectified_flow_is_straight_and_ends_in_noise() -> None:
    level = rectified_flow(4).level(torch.arange(4))
    assert level.alpha.tolist() == [0.75, 0.5, 0.25, 0.0]
    assert level.sigma.tolist() == [0.25, 0.5, 0.75, 1.0]
    shifted = rectified_flow(4, shift=3.0).level(torch.arange(4))
    wanted = [3 * s / (1 + 2 * s) for s in (0.25, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(shifted.sigma.numpy(), wanted, rtol=1e-14)
    torch.testing.assert_close(shifted.alpha + shifted.sigma, torch.ones(4, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"schedule.shift=0"):
        rectified_flow(shift=0)
    with pytest.raises(ValueError, match=r"schedule.timesteps=1"):
        rectified_flow(1)


@pytest.mark.parametrize("name", [*SCHEDULES, *FLOWS])
def test_a_noise_ratio_finds_its_level_on_the_path(name: str) -> None:
    schedule = (SCHEDULES | FLOWS)[name]
    t = torch.arange(len(schedule) - schedule.ends_in_noise)
    level = schedule.level(t)
    found = schedule.at_ratio(level.sigma / level.alpha)
    torch.testing.assert_close(found.alpha, level.alpha, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.sigma, level.sigma, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [*SCHEDULES, *FLOWS])
def test_before_the_first_timestep_latents_are_clean(name: str) -> None:
    clean = (SCHEDULES | FLOWS)[name].level(torch.tensor(-1))
    assert (float(clean.alpha), float(clean.sigma)) == (1.0, 0.0)
