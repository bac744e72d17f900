"""Distributions over timesteps against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from ldmlab.diffusion.timestep_sampling import LogitNormal, TimestepSampling, Uniform

CPU = torch.device("cpu")
T = 1000


def draws(sampling: TimestepSampling, count: int = 200_000) -> np.ndarray:
    return sampling.draw(count, T, CPU, torch.Generator().manual_seed(0)).numpy()


@pytest.mark.parametrize("sampling", [Uniform(), LogitNormal(), LogitNormal(mean=20.0, std=5.0)])
def test_draws_are_timesteps(sampling: TimestepSampling) -> None:
    drawn = sampling.draw(4096, T, CPU, torch.Generator().manual_seed(0))
    assert drawn.shape == (4096,)
    assert drawn.dtype == torch.long
    assert int(drawn.min()) >= 0
    assert int(drawn.max()) <= T - 1


def test_uniform_draws_every_timestep_alike() -> None:
    counts = np.bincount(draws(Uniform()), minlength=T)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.8, 1.2), (-1.0, 0.5)])
def test_logits_are_normal(mean: float, std: float) -> None:
    """The middle of the drawn bin, as a fraction of T, has a normal logit."""
    logits = np.log((drawn := (draws(LogitNormal(mean, std)) + 0.5) / T) / (1 - drawn))
    assert logits.mean() == pytest.approx(mean, abs=0.01)
    assert logits.std() == pytest.approx(std, abs=0.01)
    assert stats.skew(logits) == pytest.approx(0, abs=0.03)


def test_a_generator_decides_the_draws() -> None:
    for sampling in (Uniform(), LogitNormal()):
        one, two = (sampling.draw(8, T, CPU, torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(one, two)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan")])
def test_a_spread_that_is_none_is_refused(std: float) -> None:
    with pytest.raises(ValueError, match=r"timestep_sampling\.std=.*above 0"):
        LogitNormal(std=std)
