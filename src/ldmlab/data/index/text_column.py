"""Many strings in two arrays: no Python object a string, so that worker processes share the memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


class TextColumn:
    """An immutable list of strings, stored as one utf-8 blob (bytes,) and the end of each string (n,)."""

    def __init__(self, blob: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.blob = blob
        self.ends = ends

    @staticmethod
    def of(strings: Iterable[str]) -> TextColumn:
        """The column of some strings, in their order."""
        encoded = [string.encode() for string in strings]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return TextColumn(np.frombuffer(b"".join(encoded), np.uint8), np.cumsum(lengths))

    @staticmethod
    def joined(columns: Sequence[TextColumn]) -> TextColumn:
        """Return one column after the other; at least one."""
        starts = np.cumsum([0, *(len(column.blob) for column in columns)])
        ends = [column.ends + start for column, start in zip(columns, starts, strict=False)]
        return TextColumn(np.concatenate([column.blob for column in columns]), np.concatenate(ends))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        """Return string `index`, from 0."""
        start = self.ends[index - 1] if index else 0
        return self.blob[start : self.ends[index]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def part(self, start: int, stop: int) -> TextColumn:
        """Return strings `start` to `stop`, without copying them."""
        first = int(self.ends[start - 1]) if start else 0
        last = int(self.ends[stop - 1]) if stop else 0
        return TextColumn(self.blob[first:last], self.ends[start:stop] - first)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> TextColumn:
        """Return the strings of some rows."""
        rows = np.asarray(rows, np.int64)
        bounds = np.concatenate([[0], self.ends])
        starts, ends = bounds[rows], bounds[rows + 1]
        text = memoryview(self.blob.tobytes())
        parts = (text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True))
        return TextColumn(np.frombuffer(b"".join(parts), np.uint8), np.cumsum(ends - starts))

    def check(self) -> None:
        """Raise ValueError unless blob and ends belong together and hold utf-8."""
        if (self.blob.ndim, self.blob.dtype, self.ends.ndim, self.ends.dtype) != (1, np.uint8, 1, np.int64):
            raise ValueError("text of another type")
        bounds = np.concatenate([[0], self.ends])
        if (np.diff(bounds) < 0).any() or bounds[-1] != len(self.blob):
            raise ValueError("strings that do not fill their text")
        self.blob.tobytes().decode()
        within = bounds[bounds < len(self.blob)]
        if ((self.blob[within] & 0xC0) == 0x80).any():
            raise ValueError("strings that begin within a character")
