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
from ldmlab.data.order.buckets import Buckets, Rows

log = logging.getLogger(__name__)


def bucket_indexes(index: ShardIndex, sizes: Sequence[Size], least: int) -> dict[Size, ShardIndex]:
    """Return the samples of each size that has any.

    Which they are is decided by the headers of the pictures, found once, and stored where the index is.

    Args:
        index: of all samples.
        sizes: (height, width) in pixels.
        least: samples that a bucket must have; smaller ones are joined to others.
    """
    sorting = _Sorting(index, sizes, least)
    recipe = {"sizes": [*sizes], "least": least}
    found = {
        size: index.where(json.dumps({"bucket": number, **recipe}), sorting.mask(number))
        for number, size in enumerate(sizes)
    }
    return {size: part for size, part in found.items() if len(part)}


def buckets_of(index: ShardIndex, sizes: Sequence[Size], least: int = 1) -> Buckets:
    """Return the rows of an index by the size that fits each picture best.

    Args:
        index: of the samples.
        sizes: (height, width) in pixels.
        least: samples that a bucket must have; smaller ones are joined to others.
    """
    found = bucket_indexes(index, sizes, least)
    return Buckets(tuple(found), tuple(_rows_within(index, part) for part in found.values()))


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


def _rows_within(index: ShardIndex, part: ShardIndex) -> Rows:
    """The rows of a part of an index in that index."""
    if index.rows is None:
        return All(len(index)) if part.rows is None else part.rows
    return Within(index.rows if part.rows is None else part.rows, index.rows)


class All:
    """The numbers from 0 to below a count, none of which is held.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return places


class Within:
    """The places of some numbers among others, found when they are asked for.

    Args:
        numbers: ascending.
        among: ascending, and all of the numbers are in here.
    """

    def __init__(self, numbers: NDArray[np.int64], among: NDArray[np.int64]) -> None:
        self._numbers, self._among = numbers, among

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._among, self._numbers[places])
