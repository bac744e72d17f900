"""A data set with the samples that a filter takes, found on columns and kept beside them."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.filters.column_rows import ColumnRows, known_names
from ldmlab.data.filters.expression import parse
from ldmlab.data.filters.filter import Filter, refusal
from ldmlab.data.filters.removal import Removal, Removed
from ldmlab.data.index.shard_index import ShardIndex

log = logging.getLogger(__name__)


def taken(index: ShardIndex, filter: Filter, store: bool = True) -> ShardIndex:
    """The samples of an index that a filter takes; what it leaves out is told in the log.

    Args:
        index: of a data set.
        filter: which of its samples are taken.
        store: keep which they are, where the index is kept.

    Raises:
        ValueError: a field that no sample has; samples lack what decides, and are refused; none is left.
    """
    found, removal = filtered(index, filter, store)
    first, *rest = removal.lines()
    for line in (f"{index.root}: {first}", *rest):
        log.info("%s", line)
    never = [_why_undecided(index, each) for each in removal.conditions if each.undecided == removal.samples]
    for line in never:
        log.warning("%s", line)
    if not removal.kept:
        raise ValueError("; ".join([f"{removal.summary()} in {index.root}: loosen it", *never]))
    return found


def filtered(index: ShardIndex, filter: Filter, store: bool = True) -> tuple[ShardIndex, Removal]:
    """The samples of an index that a filter takes, which may be none, and how many each condition leaves out.

    Args:
        index: of a data set.
        filter: which of its samples are taken.
        store: keep which they are, where the index is kept.

    Raises:
        ValueError: a field that no sample has; samples lack what decides, and are refused.
    """
    filter.require_fields(known_names(index.columns), f"no sample in {index.root}")
    counting = _Counting(index, filter)
    found = index.where(f"filter {filter}", counting, lambda: counting.removal.plain(), store)
    removal = _read(found.selection.note, filter) or counting.all()
    _require_decided(removal, filter, index)
    return found, removal


class _Counting:
    """The mask of a filter, which counts as it goes from the first sample to the last."""

    def __init__(self, index: ShardIndex, filter: Filter) -> None:
        self._index, self._filter = index, filter
        self.removal = Removal.of(filter)

    def __call__(self, start: int, stop: int) -> NDArray[np.bool]:
        """Which of the scanned samples from `start` to `stop` are taken (stop - start,)."""
        if start == 0:
            self.removal = Removal.of(self._filter)
        rows = ColumnRows(self._index.columns, start, stop)
        met = (self._filter.meets(part, rows) for part in self._filter.expression.parts)
        return self.removal.count(met, self._index.holds(start, stop))

    def all(self) -> Removal:
        """The counts of all samples."""
        for start, stop in self._index.columns.chunks():
            self(start, stop)
        return self.removal


def _read(note: Any, filter: Filter) -> Removal | None:
    """The counts that were kept, if they are of these conditions: whoever made the folder may have made them, too."""
    with suppress(ValueError, KeyError, TypeError):
        removal = Removal.read(note)
        return removal if removal.is_of(filter) else None
    return None


def _require_decided(removal: Removal, filter: Filter, index: ShardIndex) -> None:
    parts = zip(filter.expression.parts, removal.conditions, strict=True)
    for part, counts in parts if filter.missing == "refuse" else ():
        if counts.undecided:
            raise ValueError(f"filter.missing=refuse: of {counts.undecided:,} samples in {index.root} {refusal(part)}")


def _why_undecided(index: ShardIndex, counts: Removed) -> str:
    """A line about a condition that is decided of no sample, as where a number is asked for and a field holds text."""
    rows = ColumnRows(index.columns, *next(index.columns.chunks()))
    names = parse(counts.condition).fields
    texts = [name for name in names if np.isnan(rows.numbers(name)).all() and {*rows.texts(name)} != {None}]
    told = f": '{texts[0]}' holds text, which is compared by ==, != and in" if texts else ""
    return f"'{counts.condition}' is decided of no sample{told}"
