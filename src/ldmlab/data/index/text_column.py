"""Many strings in two arrays: no Python object a string, so that processes share the memory, or map it from a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.npy_file import expect

DENSE = 8
"""Strings of a piece for each that is wanted of it, from which on those are taken one by one."""


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

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        """Return string `index`, from 0. ValueError where a stored column does not hold together there."""
        start, end = int(self.ends[index - 1]) if index else 0, int(self.ends[index])
        if not 0 <= start <= end <= len(self.blob):
            raise ValueError("strings that do not fill their text")
        return self.blob[start:end].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def lengths(self, start: int, stop: int) -> NDArray[np.int64]:
        """Bytes of strings `start` to `stop`."""
        expect(self.ends, start, stop)
        first = self.ends[start - 1] if start else 0
        return np.diff(self.ends[start:stop], prepend=first)

    def bytes_of(self, rows: NDArray[np.int64]) -> bytes:
        """The texts of some strings, one after the other."""
        steps = np.diff(rows)
        if len(rows) and (steps > 0).all() and rows[-1] - rows[0] < DENSE * len(rows):
            return self._of_rising(rows)
        starts = np.where(rows > 0, self.ends[rows - 1], 0)
        spans = zip(starts.tolist(), self.ends[rows].tolist(), strict=True)
        return b"".join(self.blob[start:end].tobytes() for start, end in spans)

    def _of_rising(self, rows: NDArray[np.int64]) -> bytes:
        """The texts of strings that lie close together, out of one piece of the blob."""
        first, last = int(rows[0]), int(rows[-1])
        start, stop = int(self.ends[first - 1]) if first else 0, int(self.ends[last])
        expect(self.blob, start, stop)
        piece = self.blob[start:stop]
        if last - first + 1 == len(rows):
            return piece.tobytes()
        taken = np.zeros(last - first + 1, np.bool)
        taken[rows - first] = True
        return piece[np.repeat(taken, self.lengths(first, last + 1))].tobytes()

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
