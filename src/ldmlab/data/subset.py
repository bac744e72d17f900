"""Some of the samples of an index, chosen by a seed and by nothing else."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.order.permutation import permutation

Choice = Literal["first", "drawn", "shards"]
"""The first samples; samples drawn at random, over all shards; all of some shards, which are drawn at random."""
STREAM = 0x5B5E7
"""Tells what is chosen from other uses of a seed."""


def subset(index: ShardIndex, n: int, choice: Choice = "first", seed: int = 0) -> ShardIndex:
    """Choose n samples of an index, in the index's order; all where there are no more.

    Args:
        index: of a data set.
        n: how many are wanted.
        choice: how they are chosen. "shards" reads few files, as suits billions of samples; of the last shard it takes
            the first samples alone.
        seed: decides which are drawn. A larger n keeps those of a smaller one.
    """
    if choice == "first" or n >= len(index):
        return index
    return index.select(np.sort(_drawn(index, n, seed) if choice == "drawn" else _of_shards(index, n, seed)))


def told_choice(choice: Choice, n: int, total: int, seed: int) -> str | None:
    """How n samples of `total` were chosen, in words; None where they are the first or all."""
    if choice == "first" or n >= total:
        return None
    how = "drawn" if choice == "drawn" else "of shards drawn"
    return f"{n} of {total}, {how} with seed {seed}"


def _drawn(index: ShardIndex, n: int, seed: int) -> NDArray[np.int64]:
    """The rows of n samples (n,)."""
    return permutation(len(index), seed, 0, STREAM).at(np.arange(n))


def _of_shards(index: ShardIndex, n: int, seed: int) -> NDArray[np.int64]:
    """The rows of the first n samples of shards in a random order (n,)."""
    starts = index.places(index.columns.starts)
    order = permutation(len(starts) - 1, seed, 0, STREAM).at(np.arange(len(starts) - 1))
    rows: list[NDArray[np.int64]] = []
    left = n
    for shard in order:
        rows.append(np.arange(starts[shard], min(starts[shard + 1], starts[shard] + left)))
        left -= len(rows[-1])
        if not left:
            break
    return np.concatenate(rows)
