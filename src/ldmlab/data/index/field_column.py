"""One key of the samples' json as a column: what kind of value each sample has, and those that are short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.npy_file import expect

LONGEST_TEXT = 32
"""Bytes of a string that goes into a column."""
MOST_WORDS = 256
"""Different strings of a key that a shard's column holds; those after them stay in the json alone."""
MOST_NAMES = 256
"""Keys that have columns, in the order in which they are met; and bytes of the name of one."""
NARROW = (np.uint8, np.uint16, np.int32, np.float32, np.float64)


class Kind(IntEnum):
    """What kind of value a key of a sample's json has."""

    MISSING = 0  # also null
    BOOL = 1
    INT = 2
    FLOAT = 3
    TEXT = 4
    LARGE_NUMBER = 5  # not exact in float64: in the json alone, as those that follow
    LONG_TEXT = 6
    OTHER = 7  # a list or an object


@dataclass(frozen=True)
class FieldColumn:
    """The values of one key for N samples.

    Attributes:
        kinds: (N,) a `Kind` each, uint8.
        values: (N,) numbers as they are, strings as their place among the words, 0 for others; of the narrowest type
            of `NARROW` that has them all.
        words: the different strings, in the order in which they are met.
    """

    kinds: NDArray[np.uint8]
    values: NDArray[Any]
    words: tuple[str, ...] = ()

    @staticmethod
    def of(values: Sequence[Any]) -> FieldColumn:
        """The column of what `short` gave for a sample each, `Kind.MISSING` for none."""
        kinds, numbers = np.zeros(len(values), np.uint8), np.zeros(len(values))
        words: dict[str, int] = {}
        for row, value in enumerate(values):
            if isinstance(value, str) and (value in words or len(words) < MOST_WORDS):
                kinds[row], numbers[row] = Kind.TEXT, words.setdefault(value, len(words))
            elif isinstance(value, str):
                kinds[row] = Kind.LONG_TEXT
            elif isinstance(value, Kind):
                kinds[row] = value
            else:
                kinds[row], numbers[row] = kind_of_number(value), value
        return FieldColumn(kinds, narrow(numbers), tuple(words))

    def part(self, start: int, stop: int) -> FieldColumn:
        """Samples `start` to `stop`, without copying them."""
        for column in (self.kinds, self.values):
            expect(column, start, stop)
        return FieldColumn(self.kinds[start:stop], self.values[start:stop], self.words)

    def check(self, count: int) -> None:
        """Raise ValueError where this is no column of `count` samples."""
        if (self.kinds.dtype, self.kinds.shape) != (np.uint8, (count,)):
            raise ValueError("kinds of another type or length")
        if self.values.dtype not in NARROW or self.values.shape != (count,):
            raise ValueError("values of another type or length")
        check_values(self)


def check_values(column: FieldColumn) -> None:
    """Raise ValueError where a kind or a string's place is none."""
    places = column.values[column.kinds == Kind.TEXT]
    if not ((places >= 0) & (places < len(column.words))).all() or column.kinds.max(initial=0) > max(Kind):
        raise ValueError("a value of no kind, or a string that is not there")


def columns_of_fields(samples: Sequence[Mapping[str, Any]]) -> dict[str, FieldColumn]:
    """The columns of some samples, of each what `short` left of its json; the first `MOST_NAMES` keys have one."""
    names: dict[str, None] = {}
    for sample in samples:
        if not names.keys() >= sample.keys() and len(names) < MOST_NAMES:
            names |= dict.fromkeys(sample)
    chosen = list(names)[:MOST_NAMES]
    return {name: FieldColumn.of([sample.get(name, Kind.MISSING) for sample in samples]) for name in chosen}


def short(content: Mapping[str, Any]) -> dict[str, Any]:
    """What columns hold of a sample's json: numbers, booleans and short strings, and the kind of everything else."""
    names = [name for name in content if len(name) <= MOST_NAMES][:MOST_NAMES]
    return {name: _short(content[name]) for name in names}


def _short(value: Any) -> Any:
    if value is None:
        return Kind.MISSING
    if isinstance(value, str):
        is_short = len(value) <= LONGEST_TEXT and len(value.encode("utf-8", "replace")) <= LONGEST_TEXT
        return value if is_short and _is_utf8(value) else Kind.LONG_TEXT
    if isinstance(value, int):
        return value if abs(value) <= 2**53 else Kind.LARGE_NUMBER
    return value if isinstance(value, float) else Kind.OTHER


def _is_utf8(value: str) -> bool:
    """False of half a surrogate pair, which json can hold."""
    return value.isascii() or not any("\ud800" <= each <= "\udfff" for each in value)


def kind_of_number(value: float) -> Kind:
    """That of a number or a boolean."""
    if isinstance(value, bool):
        return Kind.BOOL
    return Kind.INT if isinstance(value, int) else Kind.FLOAT


def narrow(values: NDArray[np.float64]) -> NDArray[Any]:
    """Numbers in the narrowest type that has them all."""
    with np.errstate(invalid="ignore", over="ignore"):
        for dtype in NARROW:
            narrowed = values.astype(dtype)
            if np.array_equal(narrowed, values, equal_nan=True):
                return narrowed
    return values
