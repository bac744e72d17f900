"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
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
        OSError: naming `path` and the remedy, when the disk is full or a quota is reached.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "w+b") as file:
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


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
