"""The samples of an index sorted into buckets, each of which is a selection that is kept beside the index."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.fields import SIDES
from ldmlab.data.index.selection import Mask
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.order.bucket_sizes import Size, nearest_bucket, without_small
from ldmlab.data.order.buckets import Buckets

log = logging.getLogger(__name__)


def buckets_of(index: ShardIndex, sizes: Sequence[Size], least: int = 1) -> Buckets:
    """Return the samples of each size that has any.

    Which they are is decided by the headers of the pictures, found once, and stored where the index is.

    Args:
        index: of all samples.
        sizes: (height, width) in pixels.
        least: samples that a bucket must have; smaller ones are joined to others.
    """
    sorting, recipe = _Sorting(index, sizes, least), {"sizes": [*sizes], "least": least}
    parts = [index.where(json.dumps({"bucket": n, **recipe}), sorting.mask(n)) for n in range(len(sizes))]
    found = [(size, part) for size, part in zip(sizes, parts, strict=True) if len(part)]
    rows = [Within(part, index) for _, part in found]
    return Buckets(tuple(size for size, _ in found), tuple(rows), tuple(part for _, part in found))


def summary(buckets: Buckets) -> str:
    """Return how many samples there are of each size."""
    each = zip(buckets.sizes, buckets.rows, strict=True)
    counts = (f"{height}x{width} {len(rows):,}" for (height, width), rows in each)
    return f"samples by height and width: {', '.join(counts)}"


class _Sorting:
    """Which bucket each scanned sample belongs to; how many there are of each is counted only where it is asked for."""

    def __init__(self, index: ShardIndex, sizes: Sequence[Size], least: int) -> None:
        self._index, self._sizes, self._least = index, sizes, least

    def mask(self, number: int) -> Mask:
        """Which of the scanned samples from one to another are in a bucket."""
        return lambda start, stop: self._into[self._nearest(start, stop)] == number

    @cached_property
    def _into(self) -> NDArray[np.int64]:
        """Into which bucket the samples of each are joined."""
        counts = np.zeros(len(self._sizes), np.int64)
        for start, stop in self._index.columns.chunks():
            nearest = self._nearest(start, stop)[self._index.holds(start, stop)]
            counts += np.bincount(nearest, minlength=len(counts))
        return without_small(counts, self._sizes, self._least)

    def _nearest(self, start: int, stop: int) -> NDArray[np.int64]:
        widths, heights = (self._index.fields.numbers(name, start, stop) for name in SIDES)
        return nearest_bucket(widths, heights, self._sizes)


class Within:
    """The rows of the samples of a part of an index, in that index; computed when they are asked for.

    Args:
        part: some of the samples.
        index: all of them.
    """

    def __init__(self, part: ShardIndex, index: ShardIndex) -> None:
        self._part, self._index = part, index

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._index.places(self._part.scanned(places))
