"""Which files in a folder are pictures, and to which class a folder in it says that they belong."""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

READERS = 8
"""Files that are read at a time, since a disk on a network answers late."""
READ = (".jpg", ".jpeg", ".png", ".webp")
UNREAD = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".svg", ".tif", ".tiff", ".cr2", ".dng", ".nef")
"""Pictures of other kinds, which are named instead of passed over."""


def picture_files(folder: Path) -> list[str]:
    """The paths below a folder of all files that are named as pictures, `READ` or `UNREAD`, sorted.

    Names that begin with a dot are passed over; links to folders are not followed, and a warning counts them.
    """
    found, links = [], list[str]()
    for inner, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links += [name for name in folders if (Path(inner) / name).is_symlink()]
        kept = [name for name in names if not name.startswith(".") and name.lower().endswith(READ + UNREAD)]
        found += [(Path(inner) / name).relative_to(folder).as_posix() for name in kept]
    if links:
        log.warning("%d links to folders are not followed (first: %s)", len(links), links[0])
    return sorted(found)


def class_of(file: str) -> str:
    """The folder in the folder that a file lies in; "" where it lies in none."""
    first, slash, _ = file.partition("/")
    return first if slash else ""
