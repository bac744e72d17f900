"""`ldmlab audit` as a user runs it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def data(shards: Path, tmp_path: Path) -> Path:
    """Two splits, of which one has a shard that is cut off."""
    folder = Path(shutil.copytree(shards, tmp_path / "data"))
    shutil.rmtree(folder / "train/.ldmlab_index", ignore_errors=True)
    tar = next((folder / "train").glob("*.tar"))
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    return folder


def test_it_names_all_and_shows_what_a_filter_would_leave(ldmlab: Any, data: Path) -> None:
    done = ldmlab("audit", f"data.path={data}", "workers=1", "filter=label >= 12")
    assert done.code == 0, done.err
    assert "1 truncated shard (first: 00000.tar/byte" in done.out
    assert "label >= 12" in done.out
    assert f"every problem is named in {data / 'audit.csv'}" in done.out
    table = (data / "audit.csv").read_text()
    assert "truncated shard,train/00000.tar,byte" in table
    assert {path.name for path in (data / "train/.ldmlab_index").iterdir()} == {".lock", "scans", "columns"}


def test_a_bad_shard_ends_it_in_a_line_where_that_is_asked_for(ldmlab: Any, data: Path) -> None:
    done = ldmlab("audit", f"data.path={data}", "workers=1", "data.on_bad_shard=stop")
    assert "truncated shard (00000.tar/byte" in done.refusal()
    assert "on_bad_shard" in ldmlab("audit", f"data.path={data}", "data.on_bad_shard=perhaps").refusal()


def test_a_folder_without_shards_is_refused(ldmlab: Any, tmp_path: Path) -> None:
    assert "no shards" in ldmlab("audit", f"data.path={tmp_path}").refusal()
