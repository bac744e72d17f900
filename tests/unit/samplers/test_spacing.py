"""Which timesteps are visited."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldmlab.samplers.spacing import TIMESTEP_SPACINGS, spaced_timesteps


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
    with pytest.raises(ValueError, match=r"sampler.spacing=karras: choose one of leading, trailing, linspace"):
        spaced_timesteps(5, 10, "karras")
