"""FID, IS and diversity: their traps (the closed forms are in tests/numerical)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ldmlab.metrics.distribution import (
    Diversity,
    DiversityWithin,
    InceptionScore,
    diversity,
    frechet_distance,
    inception_score,
)
from ldmlab.metrics.features import FeatureStatistics

BAD = [float("nan"), float("inf")]


@pytest.fixture
def features(generator: torch.Generator) -> torch.Tensor:
    return torch.randn(60, 8, generator=generator)


def test_equal_sets_have_no_distance(features: torch.Tensor) -> None:
    assert frechet_distance(features, features.flip(0)) == pytest.approx(0, abs=1e-6)


def test_float32_features_lose_nothing(features: torch.Tensor) -> None:
    far = features + 1000
    exact = frechet_distance(far.double(), 1.1 * far.double())
    assert frechet_distance(far, (1.1 * far.double()).float()) == pytest.approx(exact, rel=1e-5)


def test_the_global_generator_neither_matters_nor_changes(features: torch.Tensor) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = inception_score(features, splits=4, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert inception_score(features, splits=4, seed=3) == first
    assert inception_score(features, splits=4, seed=4) != first


@pytest.mark.filterwarnings("error")
def test_one_split_has_no_deviation(features: torch.Tensor) -> None:
    mean, deviation = inception_score(features, splits=1)
    assert mean > 1
    assert deviation == 0


@pytest.mark.parametrize("bad", BAD)
def test_values_that_are_not_finite_are_refused(features: torch.Tensor, bad: float) -> None:
    broken = features.clone()
    broken[3, 2] = bad
    for call in (
        lambda: frechet_distance(features, broken),
        lambda: frechet_distance(broken, features),
        lambda: inception_score(broken, splits=2),
        lambda: diversity(broken),
    ):
        with pytest.raises(ValueError, match="NaN or infinite"):
            call()


def test_too_few_samples_are_refused(features: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="fake images: 1 was given; give N >= 2"):
        frechet_distance(features, features[:1])
    with pytest.raises(ValueError, match="N >= 20"):
        inception_score(features[:19], splits=10)
    with pytest.raises(ValueError, match="N >= 2"):
        diversity(features[:1])
    with pytest.raises(ValueError, match="splits is 0"):
        inception_score(features, splits=0)


def test_features_of_two_extractors_are_refused(features: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="8 wide, fake ones 5"):
        frechet_distance(features, features[:, :5])


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


def test_one_sample_more_does_not_move_the_score(generator: torch.Generator) -> None:
    """Nine parts of ten with one of eleven; not nine of eleven with one of two. Over the seeds that draw the parts."""
    logits = 5 * torch.randn(101, 50, generator=generator)
    ten, more = (torch.tensor([inception_score(logits[:n], seed=seed) for seed in range(40)]) for n in (100, 101))
    assert float(more[:, 0].mean()) == pytest.approx(float(ten[:, 0].mean()), rel=0.03)
    assert float(more[:, 1].mean()) == pytest.approx(float(ten[:, 1].mean()), rel=0.3)


@pytest.mark.parametrize("n", [20, 29, 101, 1000])
def test_parts_differ_by_one_sample_at_most(n: int) -> None:
    """Samples of n classes, each alone in its own: the score of a part is its size."""
    mean, deviation = inception_score(1000 * torch.eye(n), splits=10)
    assert mean == pytest.approx(n / 10)
    assert deviation == pytest.approx((torch.arange(10) < n % 10).double().std().item(), abs=1e-6)


STREAMS: dict[str, Callable[[], FeatureStatistics | InceptionScore | Diversity | DiversityWithin]] = {
    "frechet": FeatureStatistics,
    "inception": lambda: InceptionScore(4000),
    "diversity": Diversity,
    "within": lambda: DiversityWithin([number // 4 for number in range(4000)]),
}


def kept(values: object) -> int:
    """Numbers in all tensors that an object holds, but for one number a sample (which part it belongs to)."""
    if isinstance(values, torch.Tensor):
        return values.numel()
    if isinstance(values, dict):
        return sum(map(kept, values.values()))
    return (
        sum(kept(value) for name, value in vars(values).items() if name != "_part")
        if hasattr(values, "__dict__")
        else 0
    )


@pytest.mark.parametrize("name", STREAMS)
def test_what_is_kept_does_not_grow(name: str, generator: torch.Generator) -> None:
    stream = STREAMS[name]()
    sizes = set()
    for _ in range(40):
        stream.update(torch.rand(100, 8, generator=generator))
        sizes.add(kept(stream))
    assert len(sizes) == 1
    assert max(sizes) <= 10 * 8 + 10 + 10


def test_a_sample_that_was_not_announced_is_refused(features: torch.Tensor) -> None:
    score = InceptionScore(59)
    with pytest.raises(ValueError, match="more than the 59 samples"):
        score.update(features)
    with pytest.raises(ValueError, match="0 of 59 samples came"):
        score.compute()
