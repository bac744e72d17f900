"""The keys of the samples' json as columns, to filter by without reading json again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.field_column import FieldColumn, Kind, check_values

if TYPE_CHECKING:
    from ldmlab.data.index.columns import Columns

NUMBERS = (Kind.BOOL, Kind.INT, Kind.FLOAT)
SIDES = ("image_width", "image_height")
"""Pixels of the picture as it is shown, upright, by its file's header."""


class Fields:
    """What the json of every scanned sample says, and how large its picture is, in the order of the files.

    Samples are numbered as the scan of all shards found them, whether or not an index keeps them (`ShardIndex.rows`).
    Values that no column holds (long strings, integers beyond 2^53) are read from the json where they are asked for.

    Args:
        columns: of all scanned samples.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def __len__(self) -> int:
        """Scanned samples."""
        return len(self._columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The keys of all jsons, in the order in which they were met, with `image_width` and `image_height`."""
        return tuple(self._columns.fields)

    def kinds(self, name: str, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the `Kind` of the value of samples `start` to `stop` (stop - start,). ValueError: no such key."""
        return self._column(name).kinds[start:stop]

    def numbers(self, name: str, start: int, stop: int) -> NDArray[np.float64]:
        """Return a key's numbers and booleans for samples `start` to `stop`, NaN for whatever else (stop - start,).

        Raises:
            ValueError: no json has such a key, or a json is no longer as it was.
        """
        part = self._column(name).part(start, stop)
        numbers = np.where(np.isin(part.kinds, NUMBERS), part.values, np.nan).astype(np.float64)
        for row, value in self._read(name, part, start, Kind.LARGE_NUMBER):
            numbers[row] = _as_float(value)
        return numbers

    def texts(self, name: str, start: int, stop: int) -> list[str | None]:
        """Return a key's strings for samples `start` to `stop`, None for whatever else. ValueError as `numbers`."""
        part = self._column(name).part(start, stop)
        check_values(part)
        texts: list[str | None] = [None] * len(part.kinds)
        places = np.flatnonzero(part.kinds == Kind.TEXT)
        for row, word in zip(places.tolist(), part.values[places].tolist(), strict=True):
            texts[row] = part.words[int(word)]
        for row, value in self._read(name, part, start, Kind.LONG_TEXT):
            texts[row] = value if isinstance(value, str) else None
        return texts

    def _column(self, name: str) -> FieldColumn:
        if name not in self._columns.fields:
            raise ValueError(f"'{name}' is no key of the samples' json in {self._columns.root}: name one that is")
        return self._columns.fields[name]

    def _read(self, name: str, part: FieldColumn, start: int, kind: Kind) -> list[tuple[int, Any]]:
        """The values of one kind that only the json holds, with their places in the part."""
        places = np.flatnonzero(part.kinds == kind).tolist()
        if not places:
            return []
        files = self._columns.files()
        return [(place, self._columns.meta(start + place, files).get(name)) for place in places]


def parse(payload: bytes) -> Mapping[str, Any] | None:
    """A sample's json; None where it is none, or no object."""
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _as_float(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) else np.nan
    except OverflowError:
        return np.inf if value > 0 else -np.inf
