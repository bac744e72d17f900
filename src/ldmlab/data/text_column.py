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
        """Pack strings."""
        encoded = [string.encode() for string in strings]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return TextColumn(np.frombuffer(b"".join(encoded), np.uint8), np.cumsum(lengths))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        """Return string `index`, from 0."""
        start = self.ends[index - 1] if index else 0
        return self.blob[start : self.ends[index]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def select(self, rows: Sequence[int]) -> TextColumn:
        """Return the strings of some rows."""
        return TextColumn.of(self[row] for row in rows)
