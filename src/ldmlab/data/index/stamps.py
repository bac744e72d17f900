"""What the scan of a shard depends on, so that a shard is scanned again when it changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ldmlab.data.shards.shard_folder import STATS, TAR

VERSION = 3
"""Of what a scan finds and how it is stored."""


class Stamp(NamedTuple):
    """A shard as it is now.

    Attributes:
        name: of its file.
        size: in bytes, and `time` when it was written (ns); -1 where it cannot be looked at.
        text: name, bytes and times of the shard and its statistics, and the pixel limit.
    """

    name: str
    size: int
    time: int
    text: str

    @property
    def is_lasting(self) -> bool:
        """Whether the shard can be looked at, so that a scan of it can be kept."""
        return self.size >= 0


def stamps(root: Path, names: Sequence[str], max_pixels: int) -> list[Stamp]:
    """Look at some shards of one folder."""
    folder = str(root)
    return [_stamp(f"{folder}/{name}", name, max_pixels) for name in names]


def _stamp(path: str, name: str, max_pixels: int) -> Stamp:
    size, time = _facts(path)
    stats = _facts(path[: -len(TAR)] + STATS)
    return Stamp(name, size, time, f"{VERSION} {size} {time} {stats[0]} {stats[1]} {max_pixels} {name}")


def _facts(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def digest(stamps: Sequence[Stamp], *others: str) -> str:
    """What all shards of a folder together depend on, as the name of a folder."""
    return hashlib.sha256(
        "\0".join([*(each.text for each in stamps), *others]).encode("utf-8", "surrogateescape")
    ).hexdigest()[:32]
