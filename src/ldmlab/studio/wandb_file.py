"""The file of an offline W&B run, which is a log of records: what was logged, and with which settings."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BEGIN = b":W&B"
BLOCK, HEADER = 32768, 7
"""LevelDB's log format: blocks, in which each part of a record has a header of checksum, length and kind."""
WHOLE, FIRST, LAST = 1, 2, 4


@dataclass
class WandbFile:
    """What a file tells of its run.

    Attributes:
        run_id: of W&B; "" where the run died before it told.
        project: of the run.
        group: of the run.
        job_type: of the run.
        config: the settings as they were in the end.
        rows: what was logged, a dict a step, in order.
    """

    run_id: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


def read_wandb_file(path: Path) -> WandbFile:
    """Read a file, which may be that of a run that goes on or was killed.

    Args:
        path: `run-ID.wandb`.

    Raises:
        ValueError: it is no such file.
    """
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    found = WandbFile()
    for raw in records(path.read_bytes(), path):
        record = Record.FromString(raw)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            found.run_id, found.project = run.run_id, run.project
            found.group, found.job_type = run.run_group, run.job_type
            found.config |= _values(run.config.update)
        elif kind == "config":
            found.config |= _values(record.config.update)
        elif kind == "history":
            found.rows.append(_values(record.history.item))
    return found


def records(data: bytes, path: Path) -> Iterator[bytes]:
    """The records of a file, up to where it was cut off.

    Args:
        data: all of it.
        path: for the error.

    Raises:
        ValueError: it does not begin as W&B's files do.
    """
    if not data.startswith(BEGIN):
        raise ValueError(f"{path}: is no file of a W&B run")
    place, record = HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        size, kind = struct.unpack("<HB", data[place + 4 : place + HEADER])
        part = data[place + HEADER : place + HEADER + size]
        place += HEADER + size
        if not kind or len(part) < size:
            return
        record = part if kind in (WHOLE, FIRST) else record + part
        if kind in (WHOLE, LAST):
            yield record


def _values(items: Any) -> dict[str, Any]:
    """Items of a record by name, without W&B's own; those that are named in parts become nested dicts again."""
    found: dict[str, Any] = {}
    for item in items:
        *outer, name = list(item.nested_key) or [item.key]
        inside = found
        for part in outer:
            inside = inside.setdefault(part, {})
        inside[name] = json.loads(item.value_json)
    found.pop("_wandb", None)
    return found
