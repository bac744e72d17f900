"""A file as bytes that are read where they are sliced: neither copied whole nor mapped."""

from __future__ import annotations

import errno
import io
import os
from collections import deque
from pathlib import Path

from ldmlab.files import open_regular

WINDOW = 8192
"""Bytes of a small read, so that a header, what follows it and the next header come together. The last two are kept."""
CHUNK = 1 << 20


class FileView:
    """Looks like `bytes`. A memory map would, too, but kills the process where the file shrinks or its disk goes away.

    Raises:
        OSError: naming the path: no regular file, not readable, or shorter than when it was opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_regular(path)
        self._path = path
        status = os.fstat(self._file.fileno())
        self._size, self.time = status.st_size, status.st_mtime_ns
        self._windows: deque[tuple[int, bytes]] = deque([(0, b"")], maxlen=2)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, span: slice) -> bytes:
        start, stop, _ = span.indices(self._size)
        if stop - start > WINDOW:
            return self._read(start, stop)
        for first, window in self._windows:
            if first <= start and stop <= first + len(window):
                return window[start - first : stop - first]
        window = self._read(start, min(start + WINDOW, self._size))
        self._windows.appendleft((start, window))
        return window[: stop - start]

    def __enter__(self) -> FileView:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self, start: int, stop: int) -> bytes:
        parts = []
        while start < stop:
            part = os.pread(self._file.fileno(), stop - start, start)
            if not part:
                raise OSError(errno.EIO, "became shorter while it was read", str(self._path))
            parts.append(part)
            start += len(part)
        return b"".join(parts)


class SpanReader(io.RawIOBase):
    """Some bytes of a view as a file to read."""

    def __init__(self, view: FileView, offset: int, size: int) -> None:
        super().__init__()
        self._view, self._offset, self._size, self._position = view, offset, size, 0

    def readable(self) -> bool:
        """True: the bytes can be read."""
        return True

    def seekable(self) -> bool:
        """True: any byte of the span can be gone to."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte of the span, counted as `whence` says, and return its number."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer from where the reader is, and return how many bytes there were."""
        stop = min(self._position + len(buffer), self._size)
        part = self._view[self._offset + self._position : self._offset + stop] if stop > self._position else b""
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)
