"""The Frechet distance: its traps (the closed forms are in tests/numerical)."""

from __future__ import annotations

import pytest
import torch

from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution.frechet import FrechetDistance, frechet_distance


@pytest.fixture
def features(generator: torch.Generator) -> torch.Tensor:
    return torch.randn(60, 8, generator=generator)


def test_equal_sets_have_no_distance(features: torch.Tensor) -> None:
    assert frechet_distance(features, features.flip(0)) == pytest.approx(0, abs=1e-6)


def test_float32_features_lose_nothing(features: torch.Tensor) -> None:
    far = features + 1000
    exact = frechet_distance(far.double(), 1.1 * far.double())
    assert frechet_distance(far, (1.1 * far.double()).float()) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(features: torch.Tensor, bad: float) -> None:
    broken = features.clone()
    broken[3, 2] = bad
    for pair in ((features, broken), (broken, features)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            frechet_distance(*pair)


def test_too_few_samples_are_refused(features: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="fake images: 1 was given; give N >= 2"):
        frechet_distance(features, features[:1])


def test_features_of_two_extractors_are_refused(features: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="8 wide, fake ones 5"):
        frechet_distance(features, features[:, :5])


def test_the_metric_adds_batches_up(features: torch.Tensor) -> None:
    metric = FrechetDistance(label="rFID")
    for batch in features.double().split(7):
        metric.update_reference(batch)
    metric.begin(Announced(40, suffix="-own"))
    for batch in features[:40].double().split(11):
        metric.update(batch)
    assert metric.compute() == {"rFID-own": pytest.approx(frechet_distance(features, features[:40]), rel=1e-9)}
    assert metric.remarks() == []


def test_what_is_kept_does_not_grow(generator: torch.Generator) -> None:
    metric = FrechetDistance()
    sizes = set()
    for _ in range(40):
        metric.update(torch.rand(100, 8, generator=generator))
        sizes.add(sum(getattr(metric, name).numel() for name in metric._defaults))
    assert len(sizes) == 1
    assert max(sizes) <= 2 * (8 * 8 + 8 + 1)
