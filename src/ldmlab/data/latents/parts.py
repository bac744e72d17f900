"""Records by number in a folder of files of some thousands each, memory-mapped: a cache that no memory has to hold."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.atomic import atomic_file
from ldmlab.data.index.npy_file import map_npy

log = logging.getLogger(__name__)

CHECKSUM = "crc32"
"""The first field of a record: of the bytes that follow it. 4 us for 16 kB, so that a flipped bit is seen."""
STEP = 64
"""The records of a part, but the last, are a multiple of this: so that batches do not straddle two."""
MOST = 8192
MOST_BYTES = 2**28
FEWEST_PARTS = 32
"""Of many records. What several ranks write, or is lost with a kill, is a part."""
MOST_OPEN = 4096


def record_of(arrays: Mapping[str, tuple[str, tuple[int, ...]]]) -> np.dtype[Any]:
    """A record of these arrays, behind a checksum of them.

    Args:
        arrays: by name, each with its type ("f2", "i8") and its shape.
    """
    return np.dtype([(CHECKSUM, "<u4"), *((name, f"<{kind}", shape) for name, (kind, shape) in arrays.items())])


class Parts:
    """`count` records of one shape, of which file number p holds those from p * `size` on.

    A file is numpy's own, written atomically, so that it is there as a whole or not at all. It may be a stranger's: it
    is read as plain numbers of the expected type and shape, or refused, and each record is held against its checksum
    when it is read. Memory does not depend on `count`.

    Args:
        folder: of the files and of nothing else; it need not exist before `write`.
        record: the arrays of a record, see `record_of`.
        count: how many records there are to be.
        origin: a number that stands for what the records are of. Their checksums begin with it, so that none of another
            origin, which somebody has put there since, is taken for one of these.

    Attributes:
        size: records of a file. It follows from `count` and the record's bytes alone, whoever writes.
    """

    def __init__(self, folder: Path, record: np.dtype[Any], count: int, origin: int = 0) -> None:
        self.folder, self.record, self.count, self.origin = folder, record, count, origin
        self.size = part_size(count, record.itemsize)
        self._open: dict[int, NDArray[Any]] = {}

    def __len__(self) -> int:
        """Return the number of files."""
        return -(-self.count // self.size)

    def span(self, part: int) -> range:
        """Return the numbers of the records of a file."""
        return range(part * self.size, min((part + 1) * self.size, self.count))

    def path(self, part: int) -> Path:
        """Return where a file lies."""
        return self.folder / f"{part:06d}.npy"

    def missing(self) -> list[int]:
        """Return the files that are not there; one that is not what was written is told of and counts as missing."""
        return [part for part in range(len(self)) if not self._is_whole(part)]

    def write(self, part: int, records: NDArray[Any]) -> None:
        """Write a file, whole or not at all.

        Args:
            part: its number.
            records: all of `span(part)`; their checksums are set.

        Raises:
            OSError: naming it, and the remedy where the disk is full.
        """
        records[CHECKSUM] = [_checksum(record, self.origin) for record in _bytes_of(records)]
        with atomic_file(self.path(part)) as file:
            np.lib.format.write_array(file, records, allow_pickle=False)
        self._open.pop(part, None)

    def read(self, part: int) -> NDArray[Any]:
        """Map the records of a file, whose checksums are not looked at.

        Raises:
            OSError: it cannot be read.
            ValueError: it does not hold what it should.
        """
        records = map_npy(self.path(part))
        if records.dtype != self.record or records.shape != (len(self.span(part)),) or self.path(part).is_symlink():
            raise ValueError(f"{self.path(part)} holds something else")
        return records

    def take(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Read the records of these numbers, (len(numbers),).

        Raises:
            ValueError: a file is not there any more, or is not what was written.
        """
        taken = np.empty((len(numbers), self.record.itemsize), np.uint8)
        parts, places = np.divmod(numbers, self.size)
        for row, (part, place) in enumerate(zip(parts.tolist(), places.tolist(), strict=True)):
            opened = self._open.get(part)
            taken[row] = (self._opened(part) if opened is None else opened)[place]
        records: NDArray[Any] = taken.view(self.record)[:, 0]
        for row, checksum in enumerate(records[CHECKSUM].tolist()):
            if _checksum(taken[row], self.origin) != checksum:
                raise ValueError(
                    f"{self.path(int(parts[row]))}: record {places[row]} does not have its checksum; remove that file "
                    "and run again, which makes it anew"
                )
        return records

    def __getstate__(self) -> dict[str, Any]:
        """Leave the maps behind, which a worker makes for itself."""
        return {**self.__dict__, "_open": {}}

    def _opened(self, part: int) -> NDArray[Any]:
        try:
            records = self.read(part)
        except (OSError, ValueError) as error:
            raise ValueError(f"{error}; run again, which makes that file anew") from error
        if len(self._open) >= MOST_OPEN:
            self._open.clear()
        self._open[part] = _bytes_of(records)
        return self._open[part]

    def _is_whole(self, part: int) -> bool:
        try:
            self.read(part)
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            log.warning("a part of a cache is broken and made again: %s", error)
            return False
        return True


def part_size(count: int, bytes_each: int) -> int:
    """The records of a file: few enough for a process to hold, and for several to share the work on small data."""
    most = min(MOST, MOST_BYTES // bytes_each, -(-count // FEWEST_PARTS))
    return max(STEP, most // STEP * STEP)


def _bytes_of(records: NDArray[Any]) -> NDArray[np.uint8]:
    """Records (n,) as their bytes (n, bytes of each), in place."""
    return records.view(np.uint8).reshape(len(records), records.dtype.itemsize)


def _checksum(record: NDArray[np.uint8], origin: int) -> int:
    return zlib.crc32(record[4:].data, origin)
