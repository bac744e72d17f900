"""The samples of each aspect-ratio bucket, and the batches of an epoch, each of which is of one bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.order.bucket_sizes import Size
from ldmlab.data.order.epoch_order import WINDOW, EpochOrder
from ldmlab.data.order.views import View

RUNS = 16
"""Runs of neighbouring batches that are mixed, each of about a window of samples."""


class Rows(Protocol):
    """Numbers of samples, ascending: an array, or what gives them by their places as an array does."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: NDArray[np.int64], /) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Buckets:
    """Samples sorted by the size that fits them best.

    Attributes:
        sizes: of the K buckets, (height, width) in pixels.
        rows: of the samples of each bucket; may be mapped from files.
        indexes: of the samples of each bucket, where they are known.
    """

    sizes: tuple[Size, ...]
    rows: tuple[Rows, ...]
    indexes: tuple[ShardIndex, ...] = ()

    def batches(self, batch_size: int) -> NDArray[np.int64]:
        """Return how many full batches each bucket has (K,)."""
        return np.array([len(rows) // batch_size for rows in self.rows])

    def views(self, count: int) -> list[View]:
        """Return the first `count` samples, each seen at the size of its bucket, bucket by bucket."""
        firsts = [rows[np.arange(min(count, len(rows)))] for rows in self.rows]
        firsts = [rows[rows < count] for rows in firsts]
        return [View(row, size=size) for size, rows in zip(self.sizes, firsts, strict=True) for row in rows.tolist()]


class BucketOrder:
    """The order of an epoch in batches that are of one bucket each.

    The samples of each bucket have an order of their own, of which an epoch leaves out what does not fill a batch. The
    batches of all buckets are permuted in runs of about a window of samples, so that reads stay local, and a run of the
    order holds buckets by their share.

    Args:
        buckets: the samples.
        batch_size: of all ranks together.
        seed: from 0 to 2^64 - 1.
        epoch: from 0.
    """

    def __init__(self, buckets: Buckets, batch_size: int, seed: int, epoch: int) -> None:
        self.epoch = epoch
        self._buckets = buckets
        self._batch_size = batch_size
        self._ends = buckets.batches(batch_size).cumsum()
        run = max(1, WINDOW // batch_size)
        self._batches = EpochOrder(int(self._ends[-1]), seed, epoch, run, RUNS * run, stream=1)
        self._orders = [
            EpochOrder(len(rows), seed, epoch, stream=2 + number) for number, rows in enumerate(buckets.rows)
        ]

    def size_at(self, place: int) -> Size:
        """Return of which size the batch is that a place of the epoch lies in."""
        return self._buckets.sizes[self._find(place)[0]]

    def __getitem__(self, places: slice) -> NDArray[np.int64]:
        """Return the samples at places start to stop of the epoch, which lie in one batch."""
        bucket, first = self._find(places.start)
        rows = self._buckets.rows[bucket]
        return rows[self._orders[bucket][first : first + places.stop - places.start]]

    def _find(self, place: int) -> tuple[int, int]:
        """The bucket of a place, and the place in the order of that bucket."""
        batch, within = divmod(place, self._batch_size)
        number = int(self._batches[batch : batch + 1][0])
        bucket = int(np.searchsorted(self._ends, number, "right"))
        before = int(self._ends[bucket - 1]) if bucket else 0
        return bucket, (number - before) * self._batch_size + within
