"""A folder's shards: which files they are, and what a scan found in each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ldmlab.data.index import index_cache
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.shards.shard_scan import ShardScan, scan_shard
from ldmlab.files import read_text

REMEDY = "write shards with `ldmlab data dataset=shapes`, or give a folder of img2dataset tars"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
TAR, STATS, DATASET = ".tar", "_stats.json", "dataset.json"
Progress = Callable[[Sequence[Path]], Iterable[Path]]


def find_shards(root: Path) -> tuple[list[Path], list[Problem]]:
    """Return what is named as shards are, in order, and what the folder's other names say against it.

    Raises:
        ValueError: there is no folder, or nothing in it is named so.
    """
    if not root.is_dir():
        raise ValueError(f"data folder {root} {'is no folder' if root.exists() else 'does not exist'}: {REMEDY}")
    names = sorted(name for name in os.listdir(root) if not name.startswith("."))
    shards = [name for name in names if name.lower().endswith(TAR)]
    packed = [name for name in names if name.endswith(COMPRESSED)]
    if not shards and packed:
        raise ValueError(f"data folder {root} has compressed shards alone (first: {packed[0]}): unpack them to *.tar")
    if not shards:
        raise ValueError(f"data folder {root} has no shards (*.tar): {REMEDY}")
    problems = [Problem(Defect.NO_ARCHIVE, name, detail="compressed: unpack it") for name in packed]
    stems = {name[: -len(TAR)]: name for name in shards}
    finished = {name.removesuffix(STATS) for name in names if name.endswith(STATS)}
    if finished & stems.keys():  # img2dataset writes NAME_stats.json last: a shard without it was interrupted
        problems += [Problem(Defect.UNFINISHED_SHARD, stems[stem]) for stem in sorted(stems.keys() - finished)]
        problems += [Problem(Defect.MISSING_SHARD, f"{stem}{STATS}") for stem in sorted(finished - stems.keys())]
    planned = _planned(root)
    if planned is not None and planned > len(shards):
        shortfall = f"{len(shards)} of {planned} were written: run `ldmlab data` again"
        problems.append(Problem(Defect.MISSING_SHARD, DATASET, detail=shortfall))
    return [root / name for name in shards], problems


def _planned(split: Path) -> int | None:
    """How many shards `ldmlab data` was to write to this folder; None where it did not."""
    try:
        facts = json.loads(read_text(split.parent / DATASET))
        return -(-int(facts["counts"][split.name]) // int(facts["shard_size"]))
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return None


def scan_shards(
    root: Path, paths: list[Path], max_pixels: int, cache: bool, store: bool, progress: Progress
) -> dict[Path, ShardScan]:
    """Return the scan of each shard, as stored or made anew; those made before an error or Ctrl-C are stored, too.

    Args:
        root: the folder, in which the scans are kept.
        paths: its shards.
        max_pixels: larger images are dropped unseen.
        cache: take what is stored.
        store: store what is new.
        progress: wraps the iteration over the shards that are read.
    """
    stored = index_cache.load(root) if cache else {}
    stamps = {path: index_cache.stamp(path, max_pixels) for path in paths}
    scans = {path: stored[stamp] for path, stamp in stamps.items() if stamp in stored}
    missing = [path for path in paths if path not in scans]
    try:
        for path in progress(missing) if missing else ():
            scans[path] = scan_shard(path, max_pixels)
    finally:
        lasting = {stamp: scans[path] for path, stamp in stamps.items() if path in scans and stamp is not None}
        lasting = {stamp: scan for stamp, scan in lasting.items() if scan.lasting}
        if cache and store and lasting.keys() - stored.keys():
            index_cache.save(root, lasting)
    return {path: scans[path] for path in paths}
