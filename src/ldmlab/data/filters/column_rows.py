"""Scanned samples of an index, whose fields are columns, for an expression."""

from __future__ import annotations

import numpy as np

from ldmlab.data.filters.fields import ASPECT, CAPTION, HEIGHT, WIDTH, sources_of
from ldmlab.data.filters.rows import Bits, Numbers, Texts
from ldmlab.data.index.columns import Columns
from ldmlab.data.index.field_column import Kind
from ldmlab.data.index.fields import Fields


def known_names(columns: Columns) -> tuple[str, ...]:
    """The fields that samples have."""
    return (*columns.fields, CAPTION, ASPECT)


class ColumnRows:
    """The scanned samples from one to another.

    Args:
        columns: of all scanned samples.
        start: the first of these.
        stop: the one after the last.
    """

    def __init__(self, columns: Columns, start: int, stop: int) -> None:
        self._columns, self._fields, self._span = columns, Fields(columns), (start, stop)

    def __len__(self) -> int:
        start, stop = self._span
        return stop - start

    def numbers(self, name: str) -> Numbers:
        """A field's numbers (N,), NaN where a sample has none; true counts as 1, false as 0."""
        if name == ASPECT and ASPECT not in self._fields.names:
            return self.numbers(WIDTH) / self.numbers(HEIGHT)
        numbers = np.full(len(self), np.nan)
        for source in self._sources(name):
            numbers = np.where(np.isnan(numbers), self._fields.numbers(source, *self._span), numbers)
        return numbers

    def texts(self, name: str) -> Texts:
        """A field's texts, None where a sample has none."""
        if name == CAPTION:
            return [self._columns.captions[row] or None for row in range(*self._span)]
        texts: list[str | None] = [None] * len(self)
        for source in self._sources(name):
            found = self._fields.texts(source, *self._span)
            texts = [other if own is None else own for own, other in zip(texts, found, strict=True)]
        return texts

    def missing(self, name: str) -> Bits:
        """Where a field is not there, or null, or NaN (N,)."""
        if name == CAPTION:
            return self._columns.captions.lengths(*self._span) == 0
        if name == ASPECT and ASPECT not in self._fields.names:
            return np.isnan(self.numbers(ASPECT))
        kinds = [self._fields.kinds(source, *self._span) for source in self._sources(name)]
        return np.all([kind == Kind.MISSING for kind in kinds], axis=0)

    def _sources(self, name: str) -> tuple[str, ...]:
        return sources_of(name, self._fields.names)
