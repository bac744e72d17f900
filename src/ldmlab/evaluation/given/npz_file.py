"""The arrays in an .npz file, row by row: nothing is unpickled, and memory holds what is asked for alone.

Format: a zip file with a member `NAME.npy` for each array (numpy.lib.format).
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ldmlab.files import open_regular

SUFFIX = ".npy"
_LOCAL = struct.Struct("<26x2H")
"""The lengths of a name and of what follows it, at the end of a member's own header."""


class NpzFile:
    """The arrays in a file, by name.

    Args:
        path: of the file.
        key: the setting that named it, for errors.

    Raises:
        ValueError: it cannot be read, or is no whole .npz file.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.where = path, f"{key}={path}"
        with self.telling():
            self._file = open_regular(path)
            self._zip = ZipFile(self._file)
        members = self._zip.infolist()
        self._members = {each.filename.removesuffix(SUFFIX): each for each in members}
        if len(self._members) < len(members):
            raise ValueError(f"{self.where}: holds two arrays of one name; save it again")

    @property
    def names(self) -> list[str]:
        """The names of the arrays, in the file's order."""
        return list(self._members)

    def array(self, name: str) -> NpzArray:
        """An array, of which the header alone is read.

        Raises:
            ValueError: it holds objects or is no plain array, or its file does not have the bytes that it says.
        """
        member = self._members[name]
        with self.telling(), self._zip.open(member) as content:
            shape, columns_first, dtype = self._header(name, content)
            start = content.tell()
        if dtype.hasobject:
            raise ValueError(f"{self.where}: {name} holds Python objects, which are not read; save plain numbers")
        if columns_first and len(shape) > 1:
            raise ValueError(f"{self.where}: {name} is in Fortran order; save numpy.ascontiguousarray of it")
        if member.file_size != start + math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{self.where}: {name} does not have the {shape} numbers that it says; get the file anew")
        return NpzArray(self, self._zip, member, start, shape, dtype)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell what goes wrong with the file in one line, as a ValueError."""
        try:
            yield
        except (BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(f"{self.where}: is no whole .npz file ({error}); get it anew") from error
        except (NotImplementedError, RuntimeError) as error:
            raise ValueError(f"{self.where}: is packed in a way that is not read ({error}); save it again") from error
        except OSError as error:
            raise ValueError(f"{self.where}: {(error.strerror or str(error)).lower()}; give an .npz file") from error

    def offset(self, member: ZipInfo) -> int:
        """Where the bytes of a member that is not packed begin in the file. EOFError where they do not end in it."""
        self._file.seek(member.header_offset)
        name, extra = _LOCAL.unpack(_whole(self._file, _LOCAL.size))
        start = member.header_offset + _LOCAL.size + int(name) + int(extra)
        if start + member.file_size > os.fstat(self._file.fileno()).st_size:
            raise EOFError(f"{member.filename} ends behind it")
        return start

    def read(self, start: int, size: int) -> bytes:
        """Some bytes of the file itself. EOFError where it ends before."""
        parts: list[bytes] = []
        while size and (part := os.pread(self._file.fileno(), size, start)):
            parts.append(part)
            start, size = start + len(part), size - len(part)
        if size:
            raise EOFError(f"it ends {size} bytes early")
        return b"".join(parts)

    def _header(self, name: str, content: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        try:
            if npy.read_magic(content) != (1, 0):  # whose headers are short
                raise ValueError("another version")
            shape, columns_first, dtype = npy.read_array_header_1_0(content)
            if min(shape, default=0) < 0:
                raise ValueError("a negative length")
        except (BadZipFile, zlib.error, EOFError, OSError):
            raise
        except Exception as error:  # a damaged header raises what Python's parser raises
            raise ValueError(f"{self.where}: {name} is no array of numbers; save it by numpy.savez") from error
        return shape, columns_first, dtype


@dataclass(frozen=True)
class NpzArray:
    """One array (N, ...) in a file, of which no more is in memory than is asked for.

    Attributes:
        file: it is in.
        shape: with N first.
        dtype: of its numbers.
    """

    file: NpzFile
    _zip: ZipFile
    _member: ZipInfo
    _start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def take(self, rows: Sequence[int]) -> NDArray[Any]:
        """Some rows, in order, as a copy. In a packed file, later rows are quick to find, earlier ones slow.

        Raises:
            ValueError: the file is damaged there.
        """
        with self.file.telling():
            return np.stack([self._rows(row, row + 1)[0] for row in rows])

    def all(self, most_bytes: int) -> NDArray[Any]:
        """The whole array, which has an axis.

        Raises:
            ValueError: it is larger, or the file is damaged.
        """
        if math.prod(self.shape) * self.dtype.itemsize > most_bytes:
            what = f"{self._member.filename.removesuffix(SUFFIX)} has the shape {self.shape}"
            raise ValueError(f"{self.file.where}: {what}, more than {most_bytes:,} bytes; give a smaller one")
        with self.file.telling():
            return self._rows(0, self.shape[0])

    def _rows(self, first: int, last: int) -> NDArray[Any]:
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        content = self._read(self._start + first * row, (last - first) * row)
        return np.frombuffer(content, self.dtype).reshape(last - first, *self.shape[1:]).copy()

    def _read(self, start: int, size: int) -> bytes:
        """Bytes of the member."""
        if self._member.compress_type == ZIP_STORED:
            return self.file.read(self._offset + start, size)
        self._stream.seek(start)
        return _whole(self._stream, size)

    @cached_property
    def _offset(self) -> int:
        return self.file.offset(self._member)

    @cached_property
    def _stream(self) -> IO[bytes]:
        return self._zip.open(self._member)


def _whole(file: IO[bytes] | BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError(f"it ends {size - len(content)} bytes early")
    return content
