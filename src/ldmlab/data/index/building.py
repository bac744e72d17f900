"""From a folder of shards to the columns of all its samples: what is stored is used, what is new is scanned."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from ldmlab.data.index.column_files import columns_in_memory
from ldmlab.data.index.columns import Columns
from ldmlab.data.index.index_folder import IndexFolder, places, writable
from ldmlab.data.index.joining import BrokenScanError, Source
from ldmlab.data.index.scanning import Progress, Scanner
from ldmlab.data.index.stamps import Stamp, stamps
from ldmlab.data.problems import Defect, Tally
from ldmlab.data.shards.depth import SHALLOW, Depth
from ldmlab.data.shards.shard_scan import MAX_PIXELS

log = logging.getLogger(__name__)
BAD_SHARD = (
    Defect.UNREADABLE_SHARD,
    Defect.NO_ARCHIVE,
    Defect.EMPTY_SHARD,
    Defect.TRUNCATED_SHARD,
    Defect.ZEROS,
    Defect.UNFINISHED_SHARD,
    Defect.MISSING_SHARD,
)
"""What `on_bad_shard=stop` stops at."""


@dataclass(frozen=True)
class Building:
    """How a folder of shards is scanned.

    Attributes:
        cache: take and keep what is stored.
        store: false to take what is stored, and write nothing.
        max_pixels: larger images are dropped unseen.
        depth: what is looked at beside the headers.
        workers: processes that scan.
        on_bad_shard: "skip" names a shard that is truncated, empty or unreadable, "stop" ends at the first.
        progress: wraps the iteration over the shards that are read, as a progress bar does.
    """

    cache: bool = True
    store: bool = True
    max_pixels: int = MAX_PIXELS
    depth: Depth = SHALLOW
    workers: int = 1
    on_bad_shard: str = "skip"
    progress: Progress = iter

    def __post_init__(self) -> None:
        if self.on_bad_shard not in ("skip", "stop"):
            raise ValueError(f"on_bad_shard='{self.on_bad_shard}' is neither skip nor stop; give one of them")
        if self.workers < 1:
            raise ValueError(f"workers={self.workers} is too small; give 1 or more")

    def columns(self, root: Path, names: Sequence[str]) -> Columns:
        """Return the columns of some shards.

        Raises:
            ValueError: a shard is bad, and that is to stop it.
        """
        looked = stamps(root, names, self.max_pixels)
        found = self._stored(root, looked)
        if found is None:
            place = writable(root) if self.cache and self.store else None
            with place.alone() if place else nullcontext():
                found = (self._stored(root, looked) if place else None) or self._made(root, looked, place)
        self.require_good(root, found.tallies)
        return found

    def require_good(self, root: Path, tallies: Mapping[Defect, Tally]) -> None:
        """Raise ValueError where shards are bad and that is to stop it."""
        bad = [tallies[defect] for defect in BAD_SHARD if defect in tallies] if self.on_bad_shard == "stop" else []
        if bad:
            raise ValueError(
                f"the shards in {root}: {bad[0].first.defect} ({bad[0].first}): mend it, take it away, or leave it out "
                "by data.on_bad_shard=skip"
            )

    def _stored(self, root: Path, looked: Sequence[Stamp]) -> Columns | None:
        """Stored columns that hold all that is asked for, and whose unreadable shards are so still."""
        for place in places(root) if self.cache else ():
            columns = place.columns(looked)
            if columns is not None and columns.depth.covers(self.depth) and self._are_unread(root, looked, columns):
                return columns
        return None

    def _are_unread(self, root: Path, looked: Sequence[Stamp], columns: Columns) -> bool:
        scanner = Scanner(root, self.max_pixels, columns.depth, None)
        return not any(scanner.scan(stamp).facts.lasting for stamp in looked if stamp.name in columns.unread)

    def _made(self, root: Path, looked: Sequence[Stamp], place: IndexFolder | None) -> Columns:
        """Scan what is not yet scanned, and join all."""
        scanner = Scanner(root, self.max_pixels, self.depth, place)
        stored = {stamp: scanner.stored(stamp, places(root)) for stamp in looked} if self.cache else {}
        sources = {stamp: source for stamp, source in stored.items() if source is not None}
        missing = [stamp for stamp in looked if stamp not in sources]
        if missing:
            for stamp, source in scanner.scan_all(missing, self.workers, self.progress):
                self.require_good(root, source.facts.tallies)
                sources[stamp] = source
        while True:
            try:
                return self._joined(root, looked, [sources[stamp] for stamp in looked], place)
            except BrokenScanError as error:
                [broken] = [stamp for stamp in looked if stamp.name == error.shard]
                sources[broken] = scanner.scan(broken)

    def _joined(
        self, root: Path, looked: Sequence[Stamp], ordered: Sequence[Source], place: IndexFolder | None
    ) -> Columns:
        if place is None:
            return columns_in_memory(root, ordered)
        try:
            columns = place.join(looked, ordered)
        except OSError as error:
            log.warning("the index of %s is kept in memory alone: %s", root, error)
            return columns_in_memory(root, ordered)
        place.forget([stamp.name for stamp in looked])
        return columns
