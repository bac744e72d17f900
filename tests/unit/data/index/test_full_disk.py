"""Shards on a disk that is full: the index is as it would be, and nothing half-written is left."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldmlab.data.audit import audit
from ldmlab.data.index.columns import FOLDER
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs

PAGE = 4096
LEFT = (0, PAGE, 2 * PAGE, 4 * PAGE, 8 * PAGE, 16 * PAGE, 32 * PAGE)


def keys(root: Path) -> list[str]:
    return list(ShardIndex.build(root, needs=Needs()).keys)


def test_an_index_needs_no_room(small_disk: Any, write_shards: Callable[..., Path], monkeypatch: Any) -> None:
    """However far writing comes; once there is room it is stored."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk.path / "cache"))
    root = write_shards(small_disk.path / "shards", [5, 5, 4])
    expected = [f"{number:09d}" for number in range(14)]
    for left in LEFT:
        small_disk.leave(left)
        assert keys(root) == expected, left
        assert not small_disk.half_written()
    small_disk.free()
    stored = ShardIndex.build(root)
    assert stored.columns.folder is not None
    assert list(stored.keys) == expected


def test_an_index_needs_no_lock(write_shards: Callable[..., Path], tmp_path: Path) -> None:
    """For which there may be no room either."""
    root = write_shards(tmp_path / "shards", [5, 5])
    (root / FOLDER / ".lock").mkdir(parents=True)
    assert len(keys(root)) == 10
    assert ShardIndex.build(root).columns.folder is not None


def test_what_is_stored_stays_where_there_is_no_room_for_more(
    small_disk: Any, write_shards: Callable[..., Path], monkeypatch: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk.path / "cache"))
    root = write_shards(small_disk.path / "shards", [5, 5])
    audit(root, report=small_disk.path / "audit.csv")
    before = (small_disk.path / "audit.csv").read_bytes()
    scans = {path.name for path in (root / FOLDER / "scans").iterdir()}
    write_shards(small_disk.path / "more", [6])
    os.rename(small_disk.path / "more/00000.tar", root / "00002.tar")
    os.truncate(root / "00001.tar", 1024)
    for left in (0, 2 * PAGE):
        small_disk.leave(left)
        assert len(keys(root)) == 5 + 6
        assert {path.name for path in (root / FOLDER / "scans").iterdir()} >= scans
    small_disk.leave(0)
    with pytest.raises(OSError, match="nothing half-written is left") as raised:
        audit(root, report=small_disk.path / "audit.csv")
    assert raised.value.errno == errno.ENOSPC
    assert (small_disk.path / "audit.csv").read_bytes() == before
    assert not small_disk.half_written()
