"""Scan the shards that are not yet scanned, in as many processes as are asked for."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from ldmlab.data.index.index_folder import IndexFolder
from ldmlab.data.index.joining import Source
from ldmlab.data.index.scan_file import HeldScan
from ldmlab.data.index.stamps import Stamp
from ldmlab.data.shards import shard_scan
from ldmlab.data.shards.depth import Depth
from ldmlab.data.worker_processes import start_worker

Progress = Callable[[Sequence[Path]], Iterable[Path]]


@dataclass(frozen=True)
class Scanner:
    """Scans a shard and stores what is found.

    Attributes:
        root: the folder of shards.
        max_pixels: larger images are dropped unseen.
        depth: what is looked at.
        place: where scans are stored; None to keep them in memory.
    """

    root: Path
    max_pixels: int
    depth: Depth
    place: IndexFolder | None

    def stored(self, stamp: Stamp, places: Iterable[IndexFolder]) -> Source | None:
        """The scan of a shard as it is now, if it is stored somewhere."""
        found = (place.scan(stamp, self.depth) for place in places)
        return next((scan for scan in found if scan is not None), None) if stamp.is_lasting else None

    def scan(self, stamp: Stamp) -> Source:
        """Scan a shard."""
        depth = self.depth if self.place is None else self.depth.with_(self.place.depth(stamp.name))
        scan = shard_scan.scan_shard(self.root / stamp.name, self.max_pixels, depth)
        held = HeldScan(scan, stamp.name, stamp.text)
        lasts = scan.lasting and (scan.size, scan.time) == (stamp.size, stamp.time)
        if self.place is not None and lasts and self.place.save(held):
            return self.place.scan(stamp, self.depth) or held
        return held

    def scan_all(self, stamps: Sequence[Stamp], workers: int, progress: Progress) -> Iterator[tuple[Stamp, Source]]:
        """Yield the scan of each shard as it is done; those that are done before an error or Ctrl-C are stored.

        Args:
            stamps: the shards.
            workers: processes; 1 scans in this one.
            progress: wraps the iteration over the shards, as a progress bar does.

        Raises:
            ValueError: a process died.
        """
        done = self._results(stamps, min(workers, len(stamps), 8 * (os.cpu_count() or 1)))
        for _ in progress([self.root / stamp.name for stamp in stamps]):
            yield next(done)

    def _results(self, stamps: Sequence[Stamp], workers: int) -> Iterator[tuple[Stamp, Source]]:
        if workers <= 1:
            yield from ((stamp, self.scan(stamp)) for stamp in stamps)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker) as pool:
            futures = {pool.submit(self.scan, stamp): stamp for stamp in stamps}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise ValueError(
                    f"a process that scanned shards in {self.root} died, perhaps for want of memory: use fewer workers "
                    f"than {workers}; the shards that were done are kept"
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)
