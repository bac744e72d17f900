"""Some samples of an index, chosen by a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.subset import Choice, subset

SIZES = [4, 9, 1, 6]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, write_shards: Callable[[Path, list[int]], Path]) -> ShardIndex:
    return ShardIndex.build(write_shards(tmp_path_factory.mktemp("subset"), SIZES), cache=False)


def chosen(index: ShardIndex, n: int, choice: Choice, seed: int = 0) -> list[str]:
    """The keys of the samples that are chosen."""
    return list(subset(index, n, choice, seed).keys)


@pytest.mark.parametrize("choice", ["drawn", "shards"])
def test_n_samples_in_the_order_of_the_index(index: ShardIndex, choice: Choice) -> None:
    for n in range(2, len(index)):
        found = chosen(index, n, choice)
        assert (len(found), found) == (n, sorted(set(found)))
    assert subset(index, len(index), choice) is index


@pytest.mark.parametrize("choice", ["drawn", "shards"])
def test_the_seed_decides_and_more_hold_fewer(index: ShardIndex, choice: Choice) -> None:
    assert chosen(index, 8, choice, 5) == chosen(index, 8, choice, 5)
    assert len({tuple(chosen(index, 8, choice, seed)) for seed in range(8)}) > 2
    for seed in range(5):
        assert set(chosen(index, 5, choice, seed)) <= set(chosen(index, 11, choice, seed))


def test_drawn_samples_come_from_everywhere_alike(index: ShardIndex) -> None:
    counts = dict.fromkeys(index.keys, 0)
    for seed in range(300):
        for key in chosen(index, 5, "drawn", seed):
            counts[key] += 1
    assert all(40 < count < 115 for count in counts.values())  # 75 expected, standard deviation 7.7


def test_shards_are_taken_whole(index: ShardIndex) -> None:
    for seed in range(6):
        rows = [index.columns.shard_of(row) for row in subset(index, 12, "shards", seed).rows]
        counts = {int(shard): rows.count(shard) for shard in set(rows)}
        assert sum(count < SIZES[shard] for shard, count in counts.items()) <= 1, "only the last is taken in part"


def test_of_what_a_selection_has_left(index: ShardIndex) -> None:
    odd = index.select(range(1, len(index), 2))
    for choice in ("drawn", "shards"):
        assert set(chosen(odd, 6, choice)) <= set(odd.keys)  # type: ignore[arg-type]


def test_the_first_are_those_of_the_index(index: ShardIndex) -> None:
    assert subset(index, 3, "first", 9) is index
