"""Every entry of a round belongs to one reader, whatever there is more of: shards or readers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ldmlab.data.streams.order import BEGIN, Share, looks


@pytest.mark.parametrize(("shards", "readers"), [(7, 1), (7, 3), (7, 7), (3, 7), (1, 4), (2, 3)])
def test_shares_are_all_shards_each_entry_once(shards: int, readers: int) -> None:
    for number in range(3):
        parts = [part for reader in range(readers) for part in Share(reader, readers).parts(shards, 5, number)]
        taken = Counter((part.shard, entry) for part in parts for entry in range(40) if entry % part.of == part.first)
        assert taken == Counter((shard, entry) for shard in range(shards) for entry in range(40))


def test_who_has_a_shard_more_changes() -> None:
    counts = [[len(Share(reader, 3).parts(7, 0, number)) for reader in range(3)] for number in range(3)]
    assert sorted(map(sum, zip(*counts, strict=True))) == [7, 7, 7]


def test_rounds_and_seeds_are_in_other_orders() -> None:
    orders = [tuple(Share().parts(20, seed, number)) for seed in (0, 1) for number in (0, 1)]
    assert len({*orders}) == 4


def test_windows_are_mixed_by_where_they_begin() -> None:
    one, again = (looks(BEGIN, Share(), 100, 3, 0.5) for _ in range(2))
    assert sorted(one.order.tolist()) == list(range(100))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert 25 < one.mirrored.sum() < 75
    assert 0 <= one.crops.min() < 0.1 < 0.9 < one.crops.max() < 1
    others = (
        looks(BEGIN._replace(entry=1), Share(), 100, 3, 0.5),
        looks(BEGIN, Share(1, 2), 100, 3, 0.5),
        looks(BEGIN, Share(), 100, 4, 0.5),
    )
    assert all(not np.array_equal(one.order, other.order) for other in others)
