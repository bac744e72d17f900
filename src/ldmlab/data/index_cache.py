"""The stored index: one npz beside the tars, valid as long as no tar changes."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.atomic import atomic_file

log = logging.getLogger(__name__)
NAME = ".ldmlab_index.npz"
VERSION = 1


def stamp(paths: Sequence[Path], max_pixels: int) -> str:
    """Return what an index depends on: the tars' names, bytes and times, whether finished, and the pixel limit."""
    shards = []
    for path in paths:
        status = path.stat()
        finished = path.with_name(f"{path.stem}_stats.json").exists()
        shards.append([path.name, status.st_size, status.st_mtime_ns, finished])
    return json.dumps({"version": VERSION, "max_pixels": max_pixels, "shards": shards})


def save(root: Path, stamp: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Store an index in its folder, atomically; without effect where the folder cannot be written."""
    try:
        with atomic_file(root / NAME) as file:
            np.savez(file, allow_pickle=False, stamp=np.frombuffer(stamp.encode(), np.uint8), **arrays)
    except OSError as error:
        log.info("the index of %s is not stored: %s", root, error)


def load(root: Path, stamp: str, names: Sequence[str]) -> dict[str, NDArray[Any]] | None:
    """Return the named arrays, or None where nothing is stored, the stamp differs, or the file is broken."""
    try:
        with np.load(root / NAME, allow_pickle=False) as stored:
            if stored["stamp"].tobytes() != stamp.encode():
                return None
            return {name: stored[name] for name in names}
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged zip raises anything from BadZipFile to MemoryError
        log.info("the stored index of %s is broken and made again: %s", root, error)
        return None
