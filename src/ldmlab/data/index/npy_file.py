"""Columns of numbers as .npy files: written piece by piece, and mapped into memory where they are read.

Processes that map the same file share its pages, and the system drops those that nobody reads.
"""

from __future__ import annotations

import mmap
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from ldmlab.files import open_regular

MOST_HEADER_BYTES = 4096


class NpyWriter:
    """An .npy file whose rows come one piece after the other; `crc32` is that of the rows so far.

    Args:
        file: empty, open to write.
        dtype: of the numbers.
        shape: of a row.
    """

    def __init__(self, file: BinaryIO, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self._file, self.dtype, self._shape, self.rows, self.crc32 = file, np.dtype(dtype), shape, 0, 0
        self._header()

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows (n, ...)."""
        content = np.ascontiguousarray(rows, self.dtype).tobytes()
        self.crc32 = zlib.crc32(content, self.crc32)
        self._file.write(content)
        self.rows += len(rows)

    def finish(self, sync: bool = True) -> None:
        """Write how many rows there are, and bring all to the disk."""
        self._file.seek(0)
        self._header()  # of the same length: numpy leaves room for any count
        self._file.flush()
        if sync:
            os.fsync(self._file.fileno())

    @property
    def size(self) -> int:
        """Bytes of the rows."""
        return self.rows * int(np.prod(self._shape, dtype=int)) * self.dtype.itemsize

    def _header(self) -> None:
        facts = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.rows, *self._shape)}
        npy.write_array_header_1_0(self._file, facts)


def map_npy(path: Path) -> NDArray[Any]:
    """Map a file's array, read-only, to be read here and there: of a page that is asked for, no others come with it.

    Raises:
        OSError: there is no such file.
        ValueError: it is no plain array, or shorter than it says.
    """
    with open_regular(path) as file:
        shape, fortran, dtype = _read_header(file, path)
        if dtype.hasobject or fortran or dtype.itemsize == 0:
            raise ValueError(f"{path} holds no plain numbers")
        size = dtype.itemsize * int(np.prod(shape, dtype=object))
        if os.fstat(file.fileno()).st_size != file.tell() + size:
            raise ValueError(f"{path} is not as long as it says")
        if not size:
            return np.empty(shape, dtype)
        array = np.memmap(file, dtype, "r", file.tell(), shape)
        _advise(array, "MADV_RANDOM")
        return np.asarray(array)


def expect(array: NDArray[Any], start: int, stop: int) -> None:
    """Let the system fetch rows that are read next, in one go, where they are mapped from a file."""
    mapped = array.base
    if isinstance(mapped, np.memmap) and mapped.shape == array.shape and len(array):
        size = mapped.nbytes // len(mapped)
        _advise(mapped, "MADV_WILLNEED", start * size, stop * size)


def _advise(array: np.memmap[Any, Any], advice: str, start: int = 0, stop: int | None = None) -> None:
    """Tell the system how some bytes of an array will be read, where it takes advice."""
    mapping, before = array.base, array.offset % mmap.ALLOCATIONGRANULARITY
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, advice):
        first = (before + start) // mmap.PAGESIZE * mmap.PAGESIZE
        last = before + (array.nbytes if stop is None else stop)
        mapping.madvise(getattr(mmap, advice), first, last - first)


def _read_header(file: BinaryIO, path: Path) -> Any:
    """Shape, whether the first axis varies fastest, and type."""
    try:
        if npy.read_magic(file) != (1, 0):
            raise ValueError("another version")
        return npy.read_array_header_1_0(file, MOST_HEADER_BYTES)
    except Exception as error:  # a damaged header raises what Python's parser raises
        raise ValueError(f"{path} is no .npy file: {error}") from error
