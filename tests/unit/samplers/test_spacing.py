"""Which levels are visited."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from ldmlab.diffusion.schedules import NoiseSchedule, cosine, rectified_flow, scaled_linear
from ldmlab.samplers.spacing import TIMESTEP_SPACINGS, check_spacing, karras_ratios, spaced_levels, spaced_timesteps
from ldmlab.types import Level

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import given, settings
from hypothesis import strategies as st


def test_fifty_steps_as_stable_diffusion_spaces_them() -> None:
    assert spaced_timesteps(50, 1000, "leading").tolist() == list(range(981, 0, -20))
    assert spaced_timesteps(50, 1000, "trailing").tolist() == list(range(999, 0, -20))


def test_linspace_goes_from_end_to_end() -> None:
    assert spaced_timesteps(5, 1000, "linspace").tolist() == [999, 749, 500, 250, 0]
    assert spaced_timesteps(4, 10, "linspace").tolist() == [9, 6, 3, 0]


@pytest.mark.parametrize(
    ("spacing", "wanted"), [("leading", [667, 334, 1]), ("trailing", [999, 666, 332]), ("linspace", [999, 500, 0])]
)
def test_steps_that_do_not_divide(spacing: str, wanted: list[int]) -> None:
    assert spaced_timesteps(3, 1000, spacing).tolist() == wanted


@pytest.mark.parametrize("spacing", TIMESTEP_SPACINGS)
def test_all_timesteps_are_all_timesteps(spacing: str) -> None:
    assert spaced_timesteps(10, 10, spacing).tolist() == list(range(9, -1, -1))


@pytest.mark.parametrize(("spacing", "only"), [("leading", 1), ("trailing", 999), ("linspace", 999)])
def test_one_step(spacing: str, only: int) -> None:
    assert spaced_timesteps(1, 1000, spacing).tolist() == [only]


@settings(deadline=None)
@given(st.integers(1, 1200), st.data(), st.sampled_from(TIMESTEP_SPACINGS))
def test_falls_strictly_inside_the_range(timesteps: int, data: st.DataObject, spacing: str) -> None:
    steps = data.draw(st.integers(1, timesteps))
    chosen = spaced_timesteps(steps, timesteps, spacing).tolist()
    assert len(chosen) == steps
    assert chosen[-1] >= 0
    assert chosen[0] < timesteps
    assert all(later < earlier for earlier, later in pairwise(chosen))
    if spacing != "leading":
        assert chosen[0] == timesteps - 1


@pytest.mark.parametrize("steps", [0, -1, 11])
def test_impossible_steps(steps: int) -> None:
    with pytest.raises(ValueError, match=f"sampler.steps={steps}: choose between 1 and the 10 timesteps"):
        spaced_timesteps(steps, 10, "trailing")


def test_unknown_spacing() -> None:
    with pytest.raises(ValueError, match=r"sampler.spacing=quadratic: choose one of .*linspace, karras"):
        check_spacing("quadratic")
    with pytest.raises(ValueError, match=r"sampler.spacing=karras: choose one of leading, trailing, linspace"):
        spaced_timesteps(5, 10, "karras")


@pytest.mark.parametrize("spacing", TIMESTEP_SPACINGS)
def test_levels_of_timesteps(spacing: str) -> None:
    schedule = scaled_linear()
    levels = spaced_levels(7, schedule, spacing)
    wanted = schedule.level(spaced_timesteps(7, 1000, spacing))
    assert torch.equal(levels.alpha, wanted.alpha)
    assert torch.equal(levels.sigma, wanted.sigma)


def test_karras_ratios_are_the_papers() -> None:
    """Equation 5 with its own sigma_max = 80, sigma_min = 0.002 and 18 steps."""
    wanted = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    torch.testing.assert_close(
        karras_ratios(18, 80, 0.002), torch.tensor(wanted, dtype=torch.float64), rtol=1e-12, atol=0
    )
    assert karras_ratios(1, 80, 0.002).tolist() == pytest.approx([80])


@pytest.mark.parametrize("schedule", [scaled_linear(), cosine()])
def test_karras_levels_run_over_the_schedule(schedule: NoiseSchedule) -> None:
    levels = spaced_levels(9, schedule, "karras")
    ends = schedule.level(torch.tensor([len(schedule) - 1, 0]))
    torch.testing.assert_close(levels[[0, -1]].log_snr, ends.log_snr)
    torch.testing.assert_close(levels.alpha**2 + levels.sigma**2, torch.ones(9, dtype=torch.float64))
    assert bool((levels.sigma.diff() < 0).all())


def test_karras_is_limited_to_the_steps_of_the_schedule_too() -> None:
    with pytest.raises(ValueError, match=r"sampler.steps=1001: choose between 1 and the 1000 timesteps"):
        spaced_levels(1001, scaled_linear(), "karras")


def test_karras_has_no_start_in_pure_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Level(torch.tensor([0.0, 0.9]), torch.tensor([1.0, 0.4]))
    monkeypatch.setattr(NoiseSchedule, "level", lambda self, timesteps: ends)
    with pytest.raises(ValueError, match=r"sampler.spacing=karras: .* pure noise.* use sampler.spacing=trailing"):
        spaced_levels(5, scaled_linear(), "karras")


@pytest.mark.parametrize(
    "schedule", [scaled_linear(zero_terminal_snr=True), rectified_flow()], ids=["zero SNR", "flow"]
)
def test_a_schedule_that_ends_in_noise_is_started_there(schedule: NoiseSchedule) -> None:
    """Lin et al. 2024: pure noise at a timestep that was trained with some signal costs contrast."""
    for spacing in ("trailing", "linspace"):
        assert float(spaced_levels(7, schedule, spacing).alpha[0]) == 0
    with pytest.raises(ValueError, match=r"sampler.spacing=leading: .* use sampler.spacing=trailing"):
        spaced_levels(7, schedule, "leading")
