"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}\.tmp", re.DOTALL)
"""Names of temporary files: hidden, and not to be guessed by whoever made the folder."""


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new temporary file beside `path` and move it there once it is written and synced.

    Nothing that was in the folder is written to: the temporary file is always a new one, and what stands at `path` (a
    link, a pipe) is itself replaced, never followed. Every writer has a file of its own, so that of two that write one
    path the later replaces the earlier whole. On any error the temporary file is removed and `path` is left as it was;
    what a kill leaves is removed at the first write to that folder by another process.

    Raises:
        OSError: naming `path`, and the remedy when the disk is full or a quota is reached.
    """
    remove_stale(path.parent)
    with _naming(path):
        file = _create(path)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)  # while it is locked: nobody takes it for a stale one
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_json(path: Path, data: Any) -> None:
    """Write `data` as indented JSON, atomically."""
    with atomic_file(path) as file:
        file.write(json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Tell errors of the temporary file as the path's own."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not (error.filename is None or TEMPORARY.fullmatch(Path(str(error.filename)).name)):
            raise
        message = error.strerror
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            message = f"{message}; nothing half-written is left: free some space and run again"
        raise OSError(error.errno, message, str(path)) from error


def _create(path: Path) -> BinaryIO:
    """Open a file that was not there before, locked for as long as it is written."""
    while True:
        file = open(path.with_name(f".{path.name[:48]}.{secrets.token_hex(8)}.tmp"), "x+b")  # noqa: SIM115
        if _lock(file) and os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # another process took it for a stale one, between its creation and its lock


@cache
def remove_stale(folder: Path) -> None:
    """Take away, once a process, the temporary files that nobody has locked: their writers were killed."""
    for path in folder.glob(".*.tmp"):
        if TEMPORARY.fullmatch(path.name):
            with suppress(OSError), os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _lock(file: BinaryIO) -> bool:
    """Whether no other process has it; True, too, on a file system without locks, where none is taken for stale."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
