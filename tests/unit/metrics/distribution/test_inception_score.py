"""The Inception Score: its traps (the closed forms are in tests/numerical)."""

from __future__ import annotations

import pytest
import torch

from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution.inception_score import InceptionScore, inception_score


@pytest.fixture
def features(generator: torch.Generator) -> torch.Tensor:
    return torch.randn(60, 8, generator=generator)


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


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(features: torch.Tensor, bad: float) -> None:
    broken = features.clone()
    broken[3, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        inception_score(broken, splits=2)


def test_too_few_samples_are_refused(features: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="9 samples are too few for 10 splits; give N >= 10"):
        inception_score(features[:9], splits=10)
    with pytest.raises(ValueError, match="splits is 0"):
        inception_score(features, splits=0)


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
    assert deviation == pytest.approx((torch.arange(10) < n % 10).double().std(correction=0).item(), abs=1e-6)


def test_what_is_kept_does_not_grow(generator: torch.Generator) -> None:
    metric = InceptionScore()
    metric.begin(Announced(4000))
    sizes = set()
    for start in range(0, 4000, 100):
        metric.update(torch.rand(100, 8, generator=generator), range(start, start + 100))
        sizes.add(sum(getattr(metric, name).numel() for name in metric._defaults))
    assert len(sizes) == 1
    assert max(sizes) <= 10 * 8 + 10 + 10


def test_a_sample_that_was_not_announced_is_refused(features: torch.Tensor) -> None:
    score = InceptionScore()
    score.begin(Announced(59))
    with pytest.raises(ValueError, match="more than the 59 samples"):
        score.update(features, range(60))
    with pytest.raises(ValueError, match="59 samples came"):
        score.compute()


def measured(logits: torch.Tensor, score: InceptionScore) -> InceptionScore:
    score.begin(Announced(len(logits)))
    score.update(logits, range(len(logits)))
    return score


@pytest.mark.parametrize("settings", [{"splits": 10}, {"splits": 1}, {"splits": 3}, {"part_size": 150}], ids=str)
def test_the_error_is_the_spread_over_many_draws(settings: dict[str, int], generator: torch.Generator) -> None:
    found = []
    for _ in range(50):
        score = measured(3 * torch.randn(300, 6, generator=generator), InceptionScore(**settings))
        found.append((score.compute()["IS"], score.errors()["IS"]))
    figures, errors = torch.tensor(found).T
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(figures.std()), rel=0.3)


def test_parts_in_the_order_of_the_samples_are_adms(features: torch.Tensor) -> None:
    """Cut after every 25th of 60: two whole parts and a shorter one."""
    found = measured(features, InceptionScore(part_size=25)).compute()
    scores = torch.tensor([inception_score(part, splits=1)[0] for part in features.split(25)])
    assert found["IS"] == pytest.approx(float(scores.mean()), rel=1e-5)
    assert found["IS_std"] == pytest.approx(float(scores.std(correction=0)), rel=1e-4)
    whole = measured(features, InceptionScore(part_size=5000))
    assert whole.compute()["IS"] == pytest.approx(inception_score(features, splits=1)[0])


def test_fewer_samples_than_parts_are_a_part_each(features: torch.Tensor) -> None:
    score = measured(features[:3], InceptionScore(splits=10))
    assert score.compute() == {"IS": pytest.approx(1), "IS_std": pytest.approx(0, abs=1e-9)}
    assert "IS: 3 parts of 1 images for 8 classes, and it is never above 1" in score.remarks()[0]
    with pytest.raises(ValueError, match="part_size is 0"):
        InceptionScore(part_size=0)
