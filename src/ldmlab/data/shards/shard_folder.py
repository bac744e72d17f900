"""A folder's shards: which files they are, and what their names say."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ldmlab.data.problems import Defect, Problem
from ldmlab.files import read_text

REMEDY = "write shards with `ldmlab data dataset=shapes`, or give a folder of img2dataset tars"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
TAR, STATS, DATASET = ".tar", "_stats.json", "dataset.json"


def find_shards(root: Path) -> tuple[list[str], list[Problem]]:
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
    return shards, problems


def _planned(split: Path) -> int | None:
    """How many shards `ldmlab data` was to write to this folder; None where it did not."""
    try:
        facts = json.loads(read_text(split.parent / DATASET))
        return -(-int(facts["counts"][split.name]) // int(facts["shard_size"]))
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return None
