"""Precision and recall against their definition in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution.precision_recall import PrecisionRecall


def measured(real: Tensor, fake: Tensor, metric: PrecisionRecall) -> PrecisionRecall:
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


@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_definition(k: int, generator: torch.Generator) -> None:
    real, fake = pictures(generator)
    found = measured(real, fake, PrecisionRecall(k)).compute()
    apart = pairs(real, fake)
    assert found == {
        "precision-own": pytest.approx((apart <= reach(real, k)[None]).any(axis=1).mean()),
        "recall-own": pytest.approx((apart <= reach(fake, k)[:, None]).any(axis=0).mean()),
    }
    assert 0.1 < found["recall-own"] < found["precision-own"]


def test_ends(generator: torch.Generator) -> None:
    real, _ = pictures(generator)
    assert measured(real, real, PrecisionRecall()).compute() == {"precision-own": 1, "recall-own": 1}
    far = measured(real, real + 100, PrecisionRecall())
    assert far.compute() == {"precision-own": 0, "recall-own": 0}
    assert min(far.errors().values()) > 0
    collapsed = measured(real, real[:1].repeat(60, 1), PrecisionRecall()).compute()
    assert collapsed["precision-own"] == 1
    assert collapsed["recall-own"] <= 1 / 120


def test_errors_are_the_spread_over_many_draws(generator: torch.Generator) -> None:
    real, _ = pictures(generator)
    figures, errors = [], []
    for _ in range(60):
        metric = measured(real, pictures(generator)[1], PrecisionRecall())
        figures.append([*metric.compute().values()])
        errors.append([*metric.errors().values()])
    assert metric.errors().keys() == metric.compute().keys()
    told, spread = torch.tensor(errors).square().mean(dim=0).sqrt(), torch.tensor(figures).std(dim=0)
    assert float(told[0]) == pytest.approx(float(spread[0]), rel=0.3)
    assert 0.8 * spread[1] < told[1] < 2 * spread[1]  # a jackknife is no less than the truth (Efron and Stein, 1981)


def test_too_few_pictures_are_refused(generator: torch.Generator) -> None:
    real, fake = pictures(generator)
    with pytest.raises(
        ValueError, match=r"metric\.precision_recall\.k=3: 3 generated images are too few, give at least 4"
    ):
        measured(real, fake[:3], PrecisionRecall())
    with pytest.raises(ValueError, match="k=3: 3 real images are too few"):
        measured(real[:3], fake, PrecisionRecall()).compute()
    with pytest.raises(ValueError, match="k is 0; give at least 1"):
        PrecisionRecall(0)
    with pytest.raises(ValueError, match="6 wide, fake ones 5"):
        measured(real, fake[:, :5], PrecisionRecall()).compute()


def test_too_few_held_out_pictures_are_refused_before_any_is_drawn() -> None:
    metric = PrecisionRecall(k=3)
    metric.update_reference(torch.eye(3), range(3))
    with pytest.raises(ValueError, match="k=3: 3 real images are too few, give at least 4"):
        metric.begin(Announced(100))
