"""The order of a stream: which shards a reader reads in a round over all of them, and how it mixes their samples.

All of it follows from (seed, round), so that a reader can be told where to go on.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.order.permutation import permutation
from ldmlab.data.order.random_words import random_words, uniform

ORDER, FLIPS, CROPS = 2, 3, 4
"""Streams of random words, beside those of shards that are indexed."""


class Place(NamedTuple):
    """Where a reader has come to.

    Attributes:
        round: over all shards, from 0.
        shard: of those that it reads in the round, from 0.
        entry: of that shard, with which the window begins.
        done: entries of the window that are dealt with.
    """

    round: int = 0
    shard: int = 0
    entry: int = 0
    done: int = 0


BEGIN = Place()
"""Of a run."""


class Part(NamedTuple):
    """Every `of`-th entry of a shard, from number `first` on."""

    shard: int
    first: int = 0
    of: int = 1


class Share(NamedTuple):
    """One of the readers of all ranks, by its number.

    Attributes:
        reader: from 0.
        readers: how many there are.
    """

    reader: int = 0
    readers: int = 1

    def parts(self, shards: int, seed: int, round: int) -> list[Part]:
        """What this reader reads in a round: the shares of all readers are all shards, each entry once.

        Where there are fewer shards than readers, several read a shard, and each takes some of its entries. Which of
        the readers have a shard more than others changes from round to round.

        Args:
            shards: how many there are.
            seed: of the run.
            round: from 0.
        """
        order = permutation(shards, seed, round)
        if self.readers > shards:
            place, first = self.reader % shards, self.reader // shards
            of = -(-(self.readers - place) // shards)
            return [Part(int(order.at(np.array([place]))[0]), first, of)]
        places = np.arange((self.reader - round * (shards % self.readers)) % self.readers, shards, self.readers)
        return [Part(shard) for shard in order.at(places).tolist()]


class Looks(NamedTuple):
    """How N entries of a window are seen.

    Attributes:
        order: (N,) their numbers, as they come.
        mirrored: (N,) left for right.
        crops: (N, 2) where the crop lies, down and across, in [0, 1).
    """

    order: NDArray[np.int64]
    mirrored: NDArray[np.bool]
    crops: NDArray[np.float64]


def looks(window: Place, share: Share, count: int, seed: int, flip: float) -> Looks:
    """Mix a window of a reader.

    Args:
        window: where it begins.
        share: of the reader.
        count: N, its entries.
        seed: of the run.
        flip: probability of a mirror image.
    """
    key = blake2b(repr((*window[:3], share.reader)).encode(), digest_size=8).digest()

    def words(stream: int, each: int = 1) -> NDArray[np.uint64]:
        return random_words(seed, int.from_bytes(key, "big"), 0, each * count, stream)

    order = np.argsort(words(ORDER), kind="stable")
    return Looks(order, uniform(words(FLIPS)) < flip, uniform(words(CROPS, 2)).reshape(count, 2))
