"""The files of a cache that are missing, made by all processes together: what a kill leaves undone is done later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from socket import gethostname
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.latents.parts import Parts
from ldmlab.ranks import ALONE, Ranks

Encode = Callable[[Sequence[range]], Iterable[NDArray[Any]]]
"""From ranges of numbers to the records of these numbers in order, in batches that do not straddle two ranges."""
PATIENCE = 60.0
"""Seconds until a host that does not see what another has written is taken to have a disk of its own."""


def fill(parts: Parts, encode: Encode, ranks: Ranks = ALONE) -> None:
    """Write the files that are missing.

    Each process writes files of its own, each as soon as it is complete, so that a kill costs those that were in work.
    They are the same whatever the number of processes. Where hosts do not see each other's folder, each makes its own.

    Args:
        parts: the cache.
        encode: gives the records.
        ranks: the processes.

    Raises:
        OSError: a file cannot be written.
        ValueError: as `encode` raises it.
    """
    missing = ranks.gather(parts.missing())
    while any(missing):
        own = _share(missing, ranks)
        written = _write(parts, own, encode([parts.span(part) for part in own]))
        while any(ranks.gather(next(written, False))):  # in step, so that none waits too long for another
            pass
        missing = _settled(parts, ranks)


def _settled(parts: Parts, ranks: Ranks) -> list[list[int]]:
    """What each rank lacks, once all see the same; or after a while, which network file systems take to show files."""
    missing, deadline = ranks.gather(parts.missing()), time.monotonic() + PATIENCE
    while any(ranks.gather(any(each != missing[0] for each in missing) and time.monotonic() < deadline)):
        time.sleep(PATIENCE / 20)
        missing = ranks.gather(parts.missing())
    return missing


def _share(missing: Sequence[Sequence[int]], ranks: Ranks) -> Sequence[int]:
    own = missing[ranks.rank]
    if all(each == own for each in missing):
        return ranks.share(own)
    hosts = ranks.gather(gethostname())
    here = [rank for rank, host in enumerate(hosts) if host == hosts[ranks.rank]]
    return own[here.index(ranks.rank) :: len(here)]


def _write(parts: Parts, own: Sequence[int], batches: Iterable[NDArray[Any]]) -> Iterator[bool]:
    """Write some files, and yield True after each batch."""
    parts_to_do, records, filled = iter(own), np.empty(0, parts.record), 0
    for batch in batches:
        if filled == len(records):
            part = next(parts_to_do)
            records, filled = np.zeros(len(parts.span(part)), parts.record), 0
        records[filled : filled + len(batch)] = batch
        filled += len(batch)
        if filled == len(records):
            parts.write(part, records)
        yield True
