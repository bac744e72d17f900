"""Density and coverage against their definition in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution.density_coverage import DensityCoverage


def measured(real: Tensor, fake: Tensor, metric: DensityCoverage) -> DensityCoverage:
    metric.begin(Announced(len(fake), suffix="-own"))
    for update, features in ((metric.update_reference, real), (metric.update, fake)):
        for start in range(0, len(features), 50):
            own = features[start : start + 50].double()
            update(own, range(start, start + len(own)))
    return metric


def pictures(generator: torch.Generator, n: int = 150, m: int = 120) -> tuple[Tensor, Tensor]:
    """Held-out ones, and some that are like those a little to a side."""
    return torch.randn(m, 6, generator=generator), 0.8 * torch.randn(n, 6, generator=generator) + 0.4


def pairs(real: Tensor, fake: Tensor) -> np.ndarray:
    difference = fake.numpy()[:, None].astype(np.float64) - real.numpy()[None].astype(np.float64)
    return np.sqrt((difference**2).sum(axis=2))


def reach(samples: Tensor, k: int) -> np.ndarray:
    return np.sort(pairs(samples, samples), axis=1)[:, k]


@pytest.mark.parametrize("k", [1, 5, 20])
def test_the_definition(k: int, generator: torch.Generator) -> None:
    real, fake = pictures(generator)
    found = measured(real, fake, DensityCoverage(k)).compute()
    near = pairs(real, fake) < reach(real, k)[None]
    assert found == {
        "density-own": pytest.approx(near.sum(axis=1).mean() / k),
        "coverage-own": pytest.approx(near.any(axis=0).mean()),
    }
    assert 0.1 < found["coverage-own"] <= 1


def test_one_distribution_is_what_the_paper_expects(generator: torch.Generator) -> None:
    """A density of 1 and, with as many pictures on both sides, a coverage of 1 - 2^-k."""
    found = []
    for _ in range(20):
        real, fake = torch.randn(2, 300, 4, generator=generator)
        found.append([*measured(real, fake, DensityCoverage(3)).compute().values()])
    density, coverage = np.mean(found, axis=0)
    assert density == pytest.approx(1, abs=0.05)
    assert coverage == pytest.approx(1 - 2**-3, abs=0.02)


def test_errors_are_the_spread_over_many_draws(generator: torch.Generator) -> None:
    real, _ = pictures(generator)
    figures, errors = [], []
    for _ in range(60):
        metric = measured(real, pictures(generator)[1], DensityCoverage())
        figures.append([*metric.compute().values()])
        errors.append([*metric.errors().values()])
    assert metric.errors().keys() == metric.compute().keys()
    told, spread = torch.tensor(errors).square().mean(dim=0).sqrt(), torch.tensor(figures).std(dim=0)
    assert float(told[0]) == pytest.approx(float(spread[0]), rel=0.3)
    assert 0.8 * spread[1] < told[1] < 2 * spread[1]  # a jackknife is no less than the truth (Efron and Stein, 1981)


def test_too_few_pictures_are_refused(generator: torch.Generator) -> None:
    real, fake = pictures(generator)
    with pytest.raises(ValueError, match=r"metric\.density_coverage\.k=1: 1 generated images are too few"):
        measured(real, fake[:1], DensityCoverage())
    with pytest.raises(ValueError, match="k=5: 5 real images are too few, give at least 6"):
        measured(real[:5], fake, DensityCoverage()).compute()
    with pytest.raises(ValueError, match="parts is 1; give at least 2"):
        DensityCoverage(parts=1)


def test_too_few_held_out_pictures_are_refused_before_any_is_drawn() -> None:
    metric = DensityCoverage(k=3)
    metric.update_reference(torch.eye(3), range(3))
    with pytest.raises(ValueError, match="k=3: 3 real images are too few, give at least 4"):
        metric.begin(Announced(100))
