"""Classes that are asked for: as many of each, or drawn at random, by a seed alone."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from ldmlab.evaluation.class_requests import ClassRequests


def test_balanced_has_as_many_of_each_class() -> None:
    labels = ClassRequests(classes=1000, n=50_000).labels
    assert Counter(labels) == dict.fromkeys(range(1000), 50)


def test_what_is_left_over_goes_to_classes_that_the_seed_chooses() -> None:
    counts = [Counter(ClassRequests(classes=7, n=24, seed=seed).labels) for seed in range(20)]
    assert all(sorted(each.values()) == [3, 3, 3, 3, 4, 4, 4] for each in counts)
    assert len({frozenset(label for label, count in each.items() if count == 4) for each in counts}) > 5


def test_balance_holds_over_any_stretch_of_the_pictures() -> None:
    labels = ClassRequests(classes=10, n=100).labels
    assert all(set(labels[start : start + 10]) == set(range(10)) for start in range(91))


def test_drawn_classes_are_independent_and_uniform() -> None:
    labels = ClassRequests(classes=10, n=20_000, balance="drawn").labels
    counts = Counter(labels)
    chi_squared = sum((counts[label] - 2000) ** 2 / 2000 for label in range(10))
    assert 0.5 < chi_squared < 30  # 9 degrees of freedom: outside with a probability of 4e-4
    repeated = sum(first == second for first, second in pairwise(labels))
    assert repeated == pytest.approx(2000, abs=200)


@pytest.mark.parametrize("balance", ["balanced", "drawn"])
def test_they_follow_from_the_seed_and_more_begin_with_fewer(balance: str) -> None:
    few, more = (ClassRequests(classes=9, n=n, balance=balance, seed=3) for n in (50, 80))  # type: ignore[arg-type]
    assert more.labels[:50] == few.labels == ClassRequests(9, 50, balance, seed=3).labels  # type: ignore[arg-type]
    assert few.labels != ClassRequests(9, 50, balance, seed=4).labels  # type: ignore[arg-type]
    assert more.seeds()[:50] == few.seeds()


def test_what_is_known_of_them() -> None:
    requests = ClassRequests(classes=3, n=5, batch_size=2)
    assert requests.parts() == [range(0, 2), range(2, 4), range(4, 5)]
    assert requests.known({"labels", "captions"}) == {"labels": requests.labels}
    assert requests.known({"captions"}) == {}
    assert requests.names == {"labels"}
