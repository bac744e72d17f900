"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a hidden temporary file beside `path` and move it there once it is written and synced.

    On any error the temporary file is removed and `path` is left as it was. After a kill the temporary file
    `.<name>.tmp` may remain; the next write of the same path replaces it.

    Raises:
        OSError: naming `path` and the remedy, when the disk is full or a quota is reached, or another process is
            writing the same file.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    locked = _open_locked(temporary, path)
    try:
        with locked as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            message = f"{os.strerror(error.errno)}; nothing half-written is left: free some space and run again"
            raise OSError(error.errno, message, str(path)) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Any) -> None:
    """Write `data` as indented JSON, atomically."""
    with atomic_file(path) as file:
        file.write(json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n")


def _open_locked(temporary: Path, path: Path) -> BinaryIO:
    """Open an empty temporary file that no other process writes to."""
    while True:
        file = os.fdopen(os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise OSError(errno.EBUSY, "another process is writing this file: wait for it", str(path)) from error
        except OSError:
            pass  # a file system without locks
        if _is_still(temporary, file):
            file.truncate()
            return file
        file.close()  # its last writer moved it away before it was locked


def _is_still(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
