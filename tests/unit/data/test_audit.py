"""An audit names all that is wrong with a data set, once, and compares it with what img2dataset says."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ldmlab.data.audit import audit
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.problems import Defect
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.data.shards.depth import Depth
from ldmlab.data.shared_rows import MOST_STEPS, SLOTS, SharedRows

Write = Callable[..., Path]


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_problem_of_both_splits_is_in_the_table(tmp_path: Path, write_shards: Write) -> None:
    write_shards(tmp_path / "train", [3, 2])
    write_shards(tmp_path / "heldout", [2])
    (tmp_path / "train/00001.tar").write_bytes(b"<html>")
    (tmp_path / "heldout/00000_stats.json").write_text('{"count": 9, "successes": 7, "status_dict": {"success": 7}}')
    found = audit(tmp_path)
    assert [(row["problem"], row["shard"]) for row in _rows(tmp_path / "audit.csv")] == [
        (Defect.NO_ARCHIVE, "train/00001.tar"),
        (Defect.OTHER_COUNT, "heldout/00000.tar"),
    ]
    assert [len(each.index) for each in found.folders] == [3, 2]
    assert "9 URLs and 7 pictures" in str(found)
    assert str(found).endswith(f"every problem is named in {tmp_path / 'audit.csv'}")


def test_captions_are_asked_for_where_there_are_any(tmp_path: Path, write_tar: Write, png: Callable) -> None:
    write_tar(tmp_path / "some/0.tar", [("a.png", png(0)), ("b.png", png(1)), ("b.txt", b"text")])
    write_tar(tmp_path / "none/0.tar", [("a.png", png(0)), ("b.png", png(1))])
    assert [len(audit(tmp_path / name).folders[0].index) for name in ("some", "none")] == [1, 2]
    assert [row["key"] for row in _rows(tmp_path / "some/audit.csv")] == ["a"]


def test_a_bad_shard_stops_it_where_that_is_asked_for(tmp_path: Path, write_shards: Write) -> None:
    path = write_shards(tmp_path, [3, 2]) / "00001.tar"
    assert audit(tmp_path, on_bad_shard="stop").report.exists()
    path.write_bytes(path.read_bytes()[:1500])
    line = (
        r"truncated shard \(00001\.tar/byte 1500\): mend it, take it away, or leave it out by data\.on_bad_shard=skip"
    )
    for _ in range(2):
        with pytest.raises(ValueError, match=line):
            audit(tmp_path, on_bad_shard="stop")
    assert len(audit(tmp_path).folders[0].index) == 3
    with pytest.raises(ValueError, match="on_bad_shard='no' is neither skip nor stop"):
        audit(tmp_path, on_bad_shard="no")


def test_a_picture_that_cannot_be_decoded_is_named_and_keeps_its_place(
    tmp_path: Path, write_tar: Write, members: Callable
) -> None:
    parts = [
        (name, payload[:45] if name == "000000001.png" else payload) for n in range(3) for name, payload in members(n)
    ]
    write_tar(tmp_path / "0.tar", parts)
    assert not audit(tmp_path).folders[0].index.problems
    index = audit(tmp_path, depth=Depth(decode=True)).folders[0].index
    assert [(each.defect, each.key) for each in index.problems] == [(Defect.UNDECODABLE_PIXELS, "000000001")]
    assert len(index) == 3


def test_a_flipped_bit_of_a_picture_is_found_by_its_checksum(tmp_path: Path, write_shards: Write, caplog) -> None:
    path = write_shards(tmp_path, [4]) / "00000.tar"
    index = audit(tmp_path, depth=Depth(checksums=True)).folders[0].index
    entry = index[2]
    data = bytearray(path.read_bytes())
    data[entry.image.offset + 50] ^= 1
    path.write_bytes(data)
    files = index.columns.files()
    dataset = ShardDataset(index, 8)
    dataset.files.facts = None  # of a disk that says nothing of it
    assert [dataset[row]["key"] for row in range(4) if row != 2] == [index.keys[row] for row in (0, 1, 3)]
    assert dataset[2]["key"] != "000000002"
    assert [(each.defect, each.key) for each in dataset.corrupt] == [(Defect.CHANGED_IMAGE, "000000002")]
    assert "checksum is not as it was indexed" not in caplog.text or "000000002" in caplog.text
    assert files.names == ("00000.tar",)


def _parquet(path: Path, keys: list[str], status: list[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pyarrow.table({"key": keys, "status": status, "url": [""] * len(keys)}), path)


def test_successes_of_the_parquet_that_the_tar_lacks_are_named(tmp_path: Path, write_shards: Write) -> None:
    write_shards(tmp_path, [3])
    keys = [f"{n:09d}" for n in range(6)]
    _parquet(tmp_path / "00000.parquet", keys, ["success"] * 4 + ["failed_to_download", "success"])
    index = audit(tmp_path, depth=Depth(parquet=True)).folders[0].index
    named = [(each.defect, each.key, each.detail) for each in index.problems]
    assert named == [(Defect.MISSING_SAMPLE, key, "00000.parquet") for key in ("000000003", "000000005")]


@pytest.mark.parametrize("kind", ["no parquet", "fewer", "other columns"])
def test_a_parquet_that_says_something_else_is_told(tmp_path: Path, write_shards: Write, kind: str) -> None:
    write_shards(tmp_path, [3])
    path = tmp_path / "00000.parquet"
    if kind == "no parquet":
        pytest.importorskip("pyarrow")
        path.write_bytes(b"PAR1 and nothing")
    elif kind == "fewer":
        _parquet(path, ["000000000"], ["success"])
    else:
        pyarrow = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pyarrow.table({"url": ["x"]}), path)
    [problem] = audit(tmp_path, depth=Depth(parquet=True)).folders[0].index.problems
    assert (problem.defect, problem.shard) == (Defect.OTHER_PARQUET, "00000.tar")
    assert problem.detail.startswith("00000.parquet: ")


def test_an_audit_serves_training(tmp_path: Path, write_shards: Write) -> None:
    write_shards(tmp_path, [3])
    (tmp_path / "00000_stats.json").write_text(json.dumps({"successes": 5}))
    audited = audit(tmp_path, depth=Depth(checksums=True)).folders[0].index
    index = ShardIndex.build(tmp_path)
    assert index.columns.folder == audited.columns.folder
    assert Counter(each.defect for each in index.problems) == {Defect.OTHER_COUNT: 1}


def test_a_table_of_rows_does_not_grow_and_forgets_rather_than_fails() -> None:
    rows = SharedRows()
    assert 5 not in rows
    for row in (5, 5 + SLOTS, 7, 400_000_000):
        rows.add(row, row % 2)
        rows.add(row, 1)
    assert list(rows) == [(5, 1), (7, 1), (5 + SLOTS, 1), (400_000_000, 0)]
    for step in range(2 * MOST_STEPS):
        rows.add(9 + step * SLOTS, 0)
    assert 9 in rows
    assert 9 + (2 * MOST_STEPS - 1) * SLOTS not in rows


def test_an_audit_needs_no_pytorch() -> None:
    """Each of its processes would import it."""
    told = "import ldmlab.configs.audits, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0
