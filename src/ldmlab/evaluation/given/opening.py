"""What a user names as pictures: a folder or an .npz file."""

from __future__ import annotations

from pathlib import Path

from ldmlab.evaluation.given.array import PICTURES, ArraySource
from ldmlab.evaluation.given.folder import FolderSource
from ldmlab.evaluation.given.npz_file import NpzFile
from ldmlab.evaluation.given.picture_set import GivenPictures
from ldmlab.evaluation.given.statistics import GivenStatistics, has_statistics, read_statistics


def open_pictures(
    path: Path, key: str, n: int | None = None, batch_size: int = 32, image_size: int | None = None
) -> GivenPictures:
    """The pictures in a folder or an .npz file.

    Args:
        path: of it.
        key: the setting that named it, for errors.
        n: how many; None for all.
        batch_size: pictures at a time.
        image_size: to whose square pictures are cropped and scaled; None leaves them as they are.

    Raises:
        ValueError: there are none that can be measured, or fewer than n.
    """
    if path.is_dir():
        return GivenPictures(FolderSource(path, key, image_size), n, batch_size)
    return GivenPictures(ArraySource(NpzFile(path, key), image_size), n, batch_size)


def open_reference(
    path: Path, key: str, n: int | None = None, batch_size: int = 32, image_size: int | None = None
) -> GivenPictures | GivenStatistics:
    """Pictures to compare with, or statistics of some, or both; see `open_pictures`."""
    if path.is_dir():
        return open_pictures(path, key, n, batch_size, image_size)
    file = NpzFile(path, key)
    has_pictures = PICTURES in file.names or not has_statistics(file)
    given = GivenPictures(ArraySource(file, image_size), n, batch_size) if has_pictures else None
    return read_statistics(file, given) if has_statistics(file) else open_pictures(path, key, n, batch_size, image_size)
