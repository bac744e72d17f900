"""The stored scans of a folder's shards: one npz beside the tars. A shard is scanned again when it changes.

Whoever made the folder may have made this file too. So it is read as the tars are, as a stranger's: it can say no more
than they could, and what does not hold together is scanned anew. It is neither pickled nor compressed, and no larger in
memory than on the disk.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.atomic import atomic_file
from ldmlab.data.index.sample_table import TEXTS, SampleTable
from ldmlab.data.index.text_column import TextColumn
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.shards.shard_scan import ShardScan, stats_path
from ldmlab.files import open_regular

log = logging.getLogger(__name__)
NAME = ".ldmlab_index.npz"
VERSION = 2
COLUMNS = ("spans", "labels", "caption_flaws", "label_flaws")
LISTS = (*TEXTS, "stamps", "problems")
NAMES = (*COLUMNS, "counts", *(f"{name}_{part}" for name in LISTS for part in ("blob", "ends")))
Arrays = dict[str, NDArray[Any]]


def stamp(shard: Path, max_pixels: int) -> str | None:
    """Return what a scan depends on: name, bytes and times of the shard and its statistics, and the pixel limit.

    None where the shard cannot be looked at.
    """
    try:
        facts = _facts(shard)
    except OSError:
        return None
    try:
        stats = _facts(stats_path(shard))
    except OSError:
        stats = None
    return json.dumps([VERSION, shard.name, *facts, stats, max_pixels])


def _facts(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def save(root: Path, scans: Mapping[str, ShardScan]) -> None:
    """Store scans by their stamps, atomically; without effect where the folder cannot be written."""
    try:
        with atomic_file(root / NAME) as file:
            np.savez(file, allow_pickle=False, **_pack(scans))
    except OSError as error:
        log.info("the index of %s is not stored: %s", root, error)


def load(root: Path) -> dict[str, ShardScan]:
    """Return the stored scans by their stamps; none where nothing is stored or the file is broken."""
    path = root / NAME
    try:
        with open_regular(path) as file:
            _require_plain(file)
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                return _unpack({name: stored[name] for name in NAMES})
    except FileNotFoundError:
        return {}
    except Exception as error:  # a damaged zip raises anything from BadZipFile to MemoryError
        log.info("the stored index of %s is broken and made again: %s", root, error)
        return {}


def _require_plain(file: Any) -> None:
    """Refuse an archive whose members are compressed, or overlap."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        size = file.seek(0, 2)
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed")
        if sum(member.file_size for member in members) > size:
            raise ValueError("its parts overlap")


def _pack(scans: Mapping[str, ShardScan]) -> Arrays:
    table = SampleTable.joined([scan.table for scan in scans.values()])
    problems = [problem for scan in scans.values() for problem in scan.problems]
    lines = TextColumn.of(json.dumps([p.defect, p.shard, p.key, p.detail]) for p in problems)
    arrays: Arrays = {name: getattr(table, name) for name in COLUMNS}
    arrays["counts"] = np.array([(len(scan.table), len(scan.problems)) for scan in scans.values()], np.int64)
    texts = {name: getattr(table, name) for name in TEXTS} | {"stamps": TextColumn.of(scans), "problems": lines}
    for name, column in texts.items():
        arrays |= {f"{name}_blob": column.blob, f"{name}_ends": column.ends}
    return arrays


def _unpack(arrays: Arrays) -> dict[str, ShardScan]:
    """Return what `_pack` packed. ValueError, KeyError or TypeError where it did not."""
    texts = {name: TextColumn(arrays[f"{name}_blob"], arrays[f"{name}_ends"]) for name in LISTS}
    stamps, lines = texts.pop("stamps"), texts.pop("problems")
    for column in (stamps, lines):
        column.check()
    counts = arrays["counts"]
    if counts.dtype != np.int64 or counts.shape != (len(stamps), 2) or (counts < 0).any():
        raise ValueError("counts of another type")
    columns: dict[str, Any] = {**{name: arrays[name] for name in COLUMNS}, **texts}
    table = SampleTable(**columns)
    facts = [tuple(map(int, json.loads(each)[2:4])) for each in stamps]
    for count, whole in zip(counts.T, (len(table), len(lines)), strict=True):
        if count.max(initial=0) > whole or count.sum() != whole:
            raise ValueError("samples or problems of other shards")
    table.check(np.repeat(np.array([size for size, _ in facts], np.int64), counts[:, 0]))
    problems = [Problem(Defect(kind), *map(str, rest)) for kind, *rest in map(json.loads, lines)]
    scans = {}
    sample, problem = 0, 0
    for each, (size, time), (samples, found) in zip(stamps, facts, counts.tolist(), strict=True):
        part = table.part(sample, sample + samples)
        scans[each] = ShardScan(part, problems[problem : problem + found], size, time)
        sample, problem = sample + samples, problem + found
    return scans
