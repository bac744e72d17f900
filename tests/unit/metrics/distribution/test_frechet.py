"""The Frechet distance: its traps (the closed forms are in tests/numerical)."""

from __future__ import annotations

import math

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


def measured(real: torch.Tensor, fake: torch.Tensor, metric: FrechetDistance, batch: int = 11) -> FrechetDistance:
    metric.begin(Announced(len(fake), suffix="-own"))
    for update, features in ((metric.update_reference, real), (metric.update, fake)):
        for start in range(0, len(features), batch):
            own = features[start : start + batch].double()
            update(own, range(start, start + len(own)))
    return metric


def normal(n: int, width: int, generator: torch.Generator, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(n, width, generator=generator, dtype=torch.float64)


def test_the_metric_adds_batches_up(features: torch.Tensor) -> None:
    metric = measured(features, features[:40], FrechetDistance(label="rFID"))
    assert metric.compute() == {"rFID-own": pytest.approx(frechet_distance(features, features[:40]), rel=1e-9)}
    assert metric.errors().keys() == {"rFID-own"}
    assert metric.remarks() == []


@pytest.mark.parametrize("extrapolate", [False, True])
def test_what_is_kept_does_not_grow(generator: torch.Generator, extrapolate: bool) -> None:
    metric = FrechetDistance(extrapolate=extrapolate)
    sizes = set()
    for start in range(0, 4000, 100):
        for update in (metric.update_reference, metric.update):
            update(torch.rand(100, 8, generator=generator), range(start, start + 100))
        sizes.add(sum(getattr(metric, name).numel() for name in metric._defaults))
    assert sizes == {(24 if extrapolate else 13) * (8 * 8 + 8 + 1)}


@pytest.mark.parametrize(("n", "width"), [(300, 8), (40, 60)], ids=["more than features", "fewer"])
def test_the_error_is_the_spread_over_many_draws(n: int, width: int, generator: torch.Generator) -> None:
    real = normal(200, width, generator)
    found = []
    for _ in range(60):
        metric = measured(real, normal(n, width, generator, 1.3) + 0.3, FrechetDistance(), batch=n)
        found.append((metric.compute()["FID-own"], metric.errors()["FID-own"]))
    figures, errors = torch.tensor(found).T
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(figures.std()), rel=0.3)


def test_what_it_tends_to_is_that_of_the_gaussians(generator: torch.Generator) -> None:
    """N(0, 1) and N(0.3, 1.3^2) in 20 dimensions, from 300 of each: 20 (0.3^2 + 0.3^2)."""
    truth = 20 * (0.3**2 + 0.3**2)
    found = []
    for _ in range(20):
        fake = normal(300, 20, generator, 1.3) + 0.3
        metric = measured(normal(300, 20, generator), fake, FrechetDistance(extrapolate=True), batch=300)
        found.append([*metric.compute().values()])
        assert metric.compute().keys() == metric.errors().keys() == {"FID-own", "FID_infinity-own"}
    finite, endless = torch.tensor(found).mean(dim=0).tolist()
    assert finite > truth + 0.3
    assert endless == pytest.approx(truth, abs=0.1)


def test_one_distribution_tends_to_no_distance(generator: torch.Generator) -> None:
    metric = measured(normal(2000, 20, generator), normal(2000, 20, generator), FrechetDistance(extrapolate=True), 500)
    found, error = metric.compute(), metric.errors()["FID_infinity-own"]
    assert found["FID-own"] > 0.05
    assert abs(found["FID_infinity-own"]) < 3 * error < found["FID-own"]


def test_statistics_take_the_place_of_a_reference(features: torch.Tensor) -> None:
    whole = features.double()
    expected = measured(whole, whole[:40] / 2, FrechetDistance()).compute()
    for count in (len(whole), None):
        metric = FrechetDistance()
        metric.set_reference(whole.mean(dim=0), whole.T.cov(), count)
        metric.begin(Announced(40, suffix="-own"))
        metric.update(whole[:40] / 2, range(40))
        assert metric.compute() == {"FID-own": pytest.approx(expected["FID-own"], rel=1e-9)}
        assert metric.remarks() == []
        assert metric.errors()["FID-own"] > 0


def test_a_reference_of_statistics_is_exact_to_what_is_tended_to(generator: torch.Generator) -> None:
    metric = FrechetDistance(extrapolate=True)
    metric.set_reference(torch.zeros(8), torch.eye(8))
    metric.begin(Announced(200))
    metric.update(normal(200, 8, generator), range(200))
    found = metric.compute()
    assert abs(found["FID_infinity"]) < found["FID"] / 2
    assert metric.remarks() == ["FID_infinity: the reference is statistics, which are taken for exact"]


@pytest.mark.parametrize(
    ("mean", "covariance", "said"),
    [
        (torch.zeros(3), torch.eye(4), r"the shapes \(3,\) and \(4, 4\); give a mean \(F,\)"),
        (torch.zeros(4), torch.full((4, 4), torch.nan), "NaN or infinite"),
    ],
)
def test_statistics_that_are_none_are_refused(mean: torch.Tensor, covariance: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FrechetDistance().set_reference(mean, covariance, 10)


def test_too_few_to_extrapolate_are_told(generator: torch.Generator) -> None:
    metric = measured(normal(9, 8, generator), normal(8, 8, generator), FrechetDistance(extrapolate=True))
    assert [line.partition(":")[0] for line in metric.remarks()] == ["FID-own", "FID_infinity-own"]
    assert "8 images for 8 features are too few to extrapolate" in metric.remarks()[1]


@pytest.mark.parametrize("settings", [{"parts": 1}, {"parts": -3}, {"parts": 0, "extrapolate": True}])
def test_settings_without_sense_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"parts is {settings['parts']}.*; give"):
        FrechetDistance(**settings)


def test_without_parts_there_is_no_error(features: torch.Tensor) -> None:
    metric = measured(features, features[:40], FrechetDistance(parts=0))
    assert metric.compute()["FID-own"] == pytest.approx(frechet_distance(features, features[:40]), rel=1e-9)
    assert math.isnan(metric.errors()["FID-own"])
    assert metric.fake_products.shape == (1, 8, 8)
