"""Where an index is kept: `.ldmlab_index/` beside the tars, or in the user's cache where that cannot be written."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from ldmlab.data.index.column_files import open_columns, write_columns
from ldmlab.data.index.columns import FOLDER, Columns
from ldmlab.data.index.joining import Source
from ldmlab.data.index.scan_file import HeldScan, StoredScan, save_scan
from ldmlab.data.index.stamps import Stamp, digest
from ldmlab.data.shards.depth import Depth
from ldmlab.paths import user_cache

log = logging.getLogger(__name__)
OLD = ".ldmlab_index.npz"
"""Of earlier versions."""
LOCK = ".lock"


class IndexFolder:
    """The stored scans of a folder of shards, and their columns.

    Args:
        path: of the index.
        root: of the shards.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path, self._root = path, root

    def scan_path(self, name: str) -> Path:
        """Where the scan of a shard is kept."""
        return self.path / "scans" / f"{name}.npz"

    def scan(self, stamp: Stamp, depth: Depth) -> StoredScan | None:
        """The stored scan of a shard as it is now, if it looked at all that is asked for."""
        with suppress(OSError, ValueError):
            stored = StoredScan(self.scan_path(stamp.name))
            if stored.facts.stamp == stamp.text and stored.facts.depth.covers(depth):
                return stored
        return None

    def depth(self, name: str) -> Depth:
        """What the stored scan of a shard looked at, which the next is to look at, too."""
        with suppress(OSError, ValueError):
            return StoredScan(self.scan_path(name)).facts.depth
        return Depth()

    def save(self, held: HeldScan) -> bool:
        """Store the scan of a shard; False where that cannot be."""
        try:
            save_scan(self.scan_path(held.facts.shard.name), held)
        except OSError as error:
            _tell_once(self._root, error.strerror or str(error))
            return False
        return True

    def columns(self, stamps: Sequence[Stamp]) -> Columns | None:
        """The columns of these shards, if they are stored and fit."""
        try:
            columns = open_columns(self._columns_path(stamps), self._root)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.info("the stored index of %s is broken and made again: %s", self._root, error)
            return None
        known = {(each.name, each.size, each.time) for each in stamps}
        return columns if {(each.name, each.size, each.time) for each in columns.shards} <= known else None

    def join(self, stamps: Sequence[Stamp], sources: Sequence[Source]) -> Columns:
        """Store the columns of some scans in place of older ones. OSError or BrokenScanError as `write_columns`."""
        path = self._columns_path(stamps)
        write_columns(path, sources, secrets.token_hex(8))
        for other in path.parent.iterdir():  # of other shards, or left behind by a kill
            if other != path:
                shutil.rmtree(other, ignore_errors=True)
        return open_columns(path, self._root)

    def forget(self, names: Sequence[str]) -> None:
        """Take away the scans of shards that are no longer there, and what earlier versions stored."""
        with suppress(OSError):
            (self._root / OLD).unlink(missing_ok=True)
        kept = {self.scan_path(name).name for name in names}
        with suppress(OSError):
            for path in self.path.joinpath("scans").iterdir():
                if path.name not in kept and not path.name.startswith("."):
                    path.unlink()

    def _columns_path(self, stamps: Sequence[Stamp]) -> Path:
        return self.path / "columns" / digest(stamps)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from scanning the same shards meanwhile, where there are locks, and room for this one.

        A process that waits finds what the other one has stored.
        """
        try:
            descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            log.info("%s is indexed without a lock: %s", self._root, error)
            yield
            return
        try:
            _wait(descriptor, self._root)
            yield
        finally:
            os.close(descriptor)


@cache
def _tell_once(root: Path, why: str) -> None:
    """Say once a process why scans of a folder are kept in memory alone; there may be thousands."""
    log.warning("the scans of %s are kept in memory alone: %s", root, why)


def _wait(descriptor: int, root: Path) -> None:
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                log.info("%s: waits for another process that indexes it", root)
            told = True
            time.sleep(0.1)
        except OSError:  # a file system without locks
            return
        else:
            return


def places(root: Path) -> list[IndexFolder]:
    """Where the index of a folder may be, the first choice first."""
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
    return [IndexFolder(root / FOLDER, root), IndexFolder(user_cache() / "index" / name, root)]


def writable(root: Path) -> IndexFolder | None:
    """The first place that can be written to, made if need be; None where there is none."""
    for place in places(root):
        try:
            _make(place.path)
        except OSError as error:
            log.info("the index of %s is not kept in %s: %s", root, place.path, error)
        else:
            return place
    return None


def _make(path: Path) -> None:
    """Make a folder with those in it. OSError where it cannot be written, or something else stands there."""
    for folder in (path, path / "scans", path / "columns"):
        if folder.is_symlink():
            raise OSError(f"{folder} is a link")
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(f"{folder} cannot be written")
