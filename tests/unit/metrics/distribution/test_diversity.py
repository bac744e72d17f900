"""How much samples differ."""

from __future__ import annotations

import pytest
import torch

from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution.diversity import Diversity, diversity


@pytest.fixture
def features(generator: torch.Generator) -> torch.Tensor:
    return torch.randn(60, 8, generator=generator)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(features: torch.Tensor, bad: float) -> None:
    broken = features.clone()
    broken[3, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        diversity(broken)


def test_one_sample_is_refused(features: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="N >= 2"):
        diversity(features[:1])


def test_diversity_is_the_mean_over_all_pairs(features: torch.Tensor) -> None:
    units = torch.nn.functional.normalize(features.double(), dim=1)
    distances = 1 - units @ units.T
    expected = distances[~torch.eye(len(units), dtype=torch.bool)].mean()
    assert diversity(features) == pytest.approx(float(expected), rel=1e-12)


def test_diversity_ends() -> None:
    assert diversity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-12)
    assert diversity(torch.eye(4)) == pytest.approx(1)


def test_diversity_within_groups_compares_only_inside_them() -> None:
    features = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1], [1, 1]])
    assert diversity(features, ["a", "b", "a", "b", "alone"]) == pytest.approx(0, abs=1e-12)
    assert diversity(features, ["a", "a", "b", "b", "alone"]) == pytest.approx(1)
    with pytest.raises(ValueError, match="no group has two samples"):
        diversity(features, list(range(5)))
    with pytest.raises(ValueError, match="groups has 2 entries for 5 samples"):
        diversity(features, ["a", "b"])


def test_what_is_kept_does_not_grow(generator: torch.Generator) -> None:
    """Captions come one after the other, and each is forgotten when its last picture has come."""
    metric = Diversity()
    metric.begin(Announced(4000, captions=[f"caption {number // 4}" for number in range(4000)]))
    for start in range(0, 4000, 100):
        metric.update(torch.rand(100, 8, generator=generator), range(start, start + 100))
        assert not metric.open
    assert metric.total.shape == (metric.parts, 8)
    assert set(metric.compute()) == {"diversity", "diversity_within_caption"}


def test_errors_are_the_spread_over_many_draws(generator: torch.Generator) -> None:
    """Four samples a caption, whose captions differ: of all pairs and of those of one caption."""
    centres = torch.randn(40, 6, generator=generator).repeat_interleave(4, dim=0)
    figures: list[list[float]] = []
    errors: list[list[float]] = []
    for _ in range(60):
        metric = Diversity()
        metric.begin(Announced(160, captions=[str(number // 4) for number in range(160)], suffix="-s"))
        metric.update(centres + torch.randn(160, 6, generator=generator), range(160))
        figures.append([*metric.compute().values()])
        errors.append([*metric.errors().values()])
    assert metric.errors().keys() == metric.compute().keys() == {"diversity-s", "diversity_within_caption-s"}
    told = torch.tensor(errors).square().mean(dim=0).sqrt()
    spread = torch.tensor(figures).std(dim=0)
    assert (told > 0.8 * spread).all()
    assert (told < 2.5 * spread).all()  # captions vary too, which were the same in all draws


def test_a_single_pair_has_no_error() -> None:
    metric = Diversity()
    metric.begin(Announced(2))
    metric.update(torch.eye(2), range(2))
    assert metric.compute() == {"diversity": pytest.approx(1)}
    assert metric.errors() == {}
    with pytest.raises(ValueError, match="parts is 1; give at least 2"):
        Diversity(parts=1)
