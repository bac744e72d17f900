"""Regular files, read within bounds: never a pipe or a device, and never more than a caller can hold."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """What stands at a path instead of a regular file ("a pipe"), or None for a file.

    Raises:
        OSError: nothing is there, or it cannot be looked at.
    """
    return _KINDS.get(stat.S_IFMT(os.stat(path).st_mode))


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file to read; opening a pipe would wait for a writer, and a device may never end.

    Raises:
        OSError: naming the path: it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = _KINDS.get(stat.S_IFMT(os.fstat(descriptor).st_mode))
    if kind is not None:
        os.close(descriptor)
        folder = OSError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        raise folder if kind == "a folder" else OSError(errno.EINVAL, f"is {kind}, no file", os.fspath(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: of the file.
        most: bytes; of a longer file none are kept.

    Raises:
        OSError: as `open_regular`, or the file is too long.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EINVAL, f"is longer than {most:,} bytes", os.fspath(path))
    return content


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a regular file; OSError as `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: str | os.PathLike[str], most: int = 2**20) -> str:
    """The text of a regular UTF-8 file; as `read_regular`.

    Raises:
        ValueError: it is not UTF-8.
    """
    try:
        return read_regular(path, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{Path(path)}: is no UTF-8 text ({error.reason} at byte {error.start})") from error
