"""A data set with the samples that a filter takes."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from ldmlab.data.filters.fields import CAPTION, OWN, instead_of, sources_of
from ldmlab.data.filters.filter import Filter, refusal
from ldmlab.data.filters.record_rows import as_number
from ldmlab.data.filters.removed import Selection
from ldmlab.data.filters.rows import Bits, Numbers, Texts
from ldmlab.data.index.shard_index import ShardIndex

log = logging.getLogger(__name__)
CHUNK = 2**14


class IndexRows:
    """The samples `start` to `stop` of an index."""

    def __init__(self, index: ShardIndex, start: int, stop: int) -> None:
        files = index.files()
        own = ({CAPTION: index.captions[row] or None} for row in range(start, stop))
        self.values: list[dict[str, Any]] = [{**index.meta(start + n, files), **each} for n, each in enumerate(own)]

    def __len__(self) -> int:
        return len(self.values)

    def numbers(self, name: str) -> Numbers:
        """A field's numbers (N,), NaN where a sample has none; true counts as 1, false as 0."""
        found = ([as_number(meta[each]) for each in sources_of(name, meta)] for meta in self.values)
        return np.array([next((value for value in each if value == value), np.nan) for each in found])

    def texts(self, name: str) -> Texts:
        """A field's texts, None where a sample has none."""
        found = ([meta[each] for each in sources_of(name, meta)] for meta in self.values)
        return [next((value for value in each if isinstance(value, str)), None) for each in found]

    def missing(self, name: str) -> Bits:
        """Where a field is not there, or null, or NaN (N,)."""
        found = ([meta[each] for each in sources_of(name, meta)] for meta in self.values)
        return np.array([all(value is None or value != value for value in each) for each in found])


def taken(index: ShardIndex, filter: Filter) -> ShardIndex:
    """The samples of an index that a filter takes; what it leaves out is told in the log.

    Raises:
        ValueError: a field that no sample has; samples lack what decides, and are refused; none is left.
    """
    _require_fields(index, filter)
    selection, rows = Selection.of(filter), []
    for start in range(0, len(index), CHUNK):
        chunk = IndexRows(index, start, min(start + CHUNK, len(index)))
        met = [filter.meets(part, chunk) for part in filter.expression.parts]
        rows.append(start + np.flatnonzero(selection.count(met, np.ones(len(chunk), np.bool))))
    _require_decided(selection, filter)
    if not selection.kept:
        raise ValueError(f"{selection.lines()[0].partition(';')[0]} in {index.root}: loosen it")
    for line in selection.lines():
        log.info(line)
    return index.select(np.concatenate(rows))


def _require_fields(index: ShardIndex, filter: Filter) -> None:
    files = index.files()
    known = {*OWN, *(key for row in range(len(index)) for key in index.meta(row, files))}
    for name in filter.expression.fields:
        if not sources_of(name, known):
            raise ValueError(f"filter={filter}: no sample in {index.root} has '{name}'; {instead_of(name, known)}")


def _require_decided(selection: Selection, filter: Filter) -> None:
    open_parts = [each for each in selection.conditions if each.undecided] if filter.missing == "refuse" else []
    if open_parts:
        part = next(part for part in filter.expression.parts if part.text == open_parts[0].condition)
        raise ValueError(f"filter.missing=refuse: of {open_parts[0].undecided:,} samples {refusal(part)}")
