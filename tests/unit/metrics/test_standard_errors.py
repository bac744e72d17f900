"""Standard errors against numpy, and against how often the intervals that they give hold the truth."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pytest
import torch

from ldmlab.metrics.standard_errors import (
    NO_VALUES,
    jackknife_error,
    joined,
    mean_error,
    moments,
    share_error,
    with_values,
)


def test_moments_over_batches_and_ranks(generator: torch.Generator) -> None:
    values = torch.randn(1000, generator=generator, dtype=torch.float64)
    for offset in (0.0, 1e9):  # where sums of squares would have no digit left
        given = values + offset
        states = [reduce(with_values, half.split(37), NO_VALUES) for half in given.split(600)]
        count, mean, squares = joined(torch.stack(states)).tolist()
        assert (count, mean) == (1000, pytest.approx(float(given.mean()), rel=1e-12))
        assert squares / 999 == pytest.approx(float(given.var()), rel=1e-7)
    assert mean_error(joined(torch.stack([*states, NO_VALUES]))) == pytest.approx(float(values.std()) / 1000**0.5)


def test_a_single_value_has_no_error() -> None:
    assert math.isnan(mean_error(moments(torch.tensor([3.0]))))
    assert math.isnan(mean_error(moments(torch.tensor([]))))
    assert math.isnan(jackknife_error([1.0]))


def test_of_a_mean_the_jackknife_gives_the_same_error(generator: torch.Generator) -> None:
    values = torch.randn(50, generator=generator, dtype=torch.float64)
    without = [float(torch.cat([values[:place], values[place + 1 :]]).mean()) for place in range(50)]
    assert jackknife_error(without) == pytest.approx(mean_error(moments(values)), rel=1e-9)


@pytest.mark.parametrize("right", [0, 10])
def test_no_share_is_certain(right: int) -> None:
    assert share_error(right, 10) == pytest.approx(math.sqrt(11 / 12 / 12 / 10))
    assert share_error(5, 10) == pytest.approx(math.sqrt(0.025))
    assert share_error(right, 1000) < share_error(right, 10) < share_error(abs(right - 1), 10)


def test_intervals_of_means_hold_the_truth_as_often_as_they_say() -> None:
    """95 of 100 within 1.96 errors; of skewed values too, as squared errors are."""
    rng, held = np.random.default_rng(0), []
    for _ in range(2000):
        state = moments(torch.from_numpy(rng.gamma(2.0, size=200)))
        held.append(abs(float(state[1]) - 2.0) < 1.96 * mean_error(state))
    assert 0.93 < np.mean(held) < 0.965


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_intervals_of_shares_hold_the_truth(share: float) -> None:
    right = np.random.default_rng(0).binomial(200, share, size=4000)
    held = [abs(each / 200 - share) < 1.96 * share_error(each, 200) for each in right.tolist()]
    assert 0.92 < np.mean(held) < 0.97
