"""A local dataset of Hugging Face: its splits, its columns, its rows, and what of it is refused or named."""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ldmlab.data.huggingface.fields import Fields, find_fields
from ldmlab.data.huggingface.layout import find_splits
from ldmlab.data.huggingface.source import LocalDataset
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.sample_source import Sample, UnusableError
from ldmlab.data.writing.dataset_writer import write_shards

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
Make = Callable[..., Any]


def number_of(sample: Sample) -> int:
    red, green, _ = sample.image.getpixel((0, 0))
    return red + 256 * green


def numbers(source: LocalDataset, split: str) -> list[int]:
    return [number_of(source.sample(split, index)) for index in range(source.count(split))]


def test_a_saved_dataset_becomes_shards(table: Make, save: Make, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asks the network"))
    root = save(tmp_path / "saved", table(range(7)), table(range(7, 12)))
    source = LocalDataset(str(root), heldout=0)
    report = write_shards(source, tmp_path / "shards", shard_size=5)
    assert (report.counts, report.problems) == ({"train": 12}, ())
    index = ShardIndex.build(tmp_path / "shards/train", needs=Needs(classes=3))
    assert [*index.captions] == [f"number {number}" for number in range(12)]
    assert [index.label(row) for row in range(12)] == [number % 3 for number in range(12)]
    config = json.loads((tmp_path / "shards/dataset.json").read_text())["config"]
    assert config["classes"] == ["cat", "dog", "owl"]
    sample = source.sample("train", 9)
    assert sample.meta == {"score": 2.25, "original_width": 8, "original_height": 8}
    assert sample.encoded.extension == "png"


def test_splits_by_their_names(table: Make, save: Make, tmp_path: Path) -> None:
    for number, name in enumerate(("extra", "train", "validation")):
        save(tmp_path / name, table([number]))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["extra", "train", "validation"]}')
    source = LocalDataset(str(tmp_path))
    assert (numbers(source, "train"), numbers(source, "heldout")) == ([1], [2])
    chosen = LocalDataset(str(tmp_path), train_split="validation", heldout_split="extra")
    assert (numbers(chosen, "train"), numbers(chosen, "heldout")) == ([2], [0])
    with pytest.raises(ValueError, match=r"dataset\.heldout_split=test: there is no such split, but extra, validation"):
        LocalDataset(str(tmp_path), heldout_split="test").count("train")


def test_a_folder_of_parquet_as_the_hub_has_it(table: Make, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number, name in enumerate(("test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002")):
        parquet.write_table(
            table(range(5 * number, 5 * number + 5)), tmp_path / f"data/{name}.parquet", row_group_size=3
        )
    (tmp_path / ".cache.parquet").write_bytes(b"")
    source = pickle.loads(pickle.dumps(LocalDataset(str(tmp_path))))
    assert numbers(source, "train") == [*range(5, 15)]
    assert numbers(source, "heldout") == [*range(5)]
    assert [number_of(source.sample("train", place)) for place in (9, 0, 4, 3, 4)] == [14, 5, 9, 8, 9]
    assert numbers(pickle.loads(pickle.dumps(source)), "heldout") == [*range(5)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_thousands_of_files_are_not_open_at_once(kind: str, table: Make, save: Make, tmp_path: Path) -> None:
    if kind == "arrow":
        save(tmp_path, *(table([number]) for number in range(20)))
    else:
        for number in range(20):
            parquet.write_table(table([number]), tmp_path / f"{number:02d}.parquet")
    before = len(os.listdir("/proc/self/fd"))
    source = LocalDataset(str(tmp_path), heldout=0)
    assert numbers(source, "train") == [*range(20)]
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_one_file_of_either_kind(table: Make, tmp_path: Path) -> None:
    made = table(range(5))
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, made.schema) as written:
        written.write_table(made, max_chunksize=2)
    assert numbers(LocalDataset(str(tmp_path / "a.arrow"), heldout=0), "train") == [*range(5)]
    parquet.write_table(table(range(6)), tmp_path / "b.parquet")
    assert numbers(LocalDataset(str(tmp_path / "b.parquet"), heldout=0), "train") == [*range(6)]
    with pytest.raises(ValueError, match=r"holds \.arrow and \.parquet files; give a folder of one"):
        find_splits(tmp_path)


def test_a_share_is_held_out_and_stays_when_rows_are_added(table: Make, tmp_path: Path) -> None:
    def held_out(count: int) -> list[int]:
        parquet.write_table(table(range(count)), tmp_path / "a.parquet")
        source = LocalDataset(str(tmp_path), heldout=0.3)
        assert sorted(numbers(source, "train") + numbers(source, "heldout")) == [*range(count)]
        return numbers(source, "heldout")

    few, many = held_out(20), held_out(30)
    assert 0 < len(few) < 12
    assert few == [number for number in many if number < 20]


def test_other_columns_are_found_or_named(table: Make) -> None:
    other = {"image": None, "caption": None, "label": None, "score": None, "width": None}
    raw = table(range(2), **other, jpg=[b"a", b"b"], sentences=[["one", "two"], []], fine_label=[1, 2], url=["x", "y"])
    assert find_fields(raw.schema) == Fields("jpg", "sentences", "fine_label", ("url",), ())
    two = table(range(2), **other, before=[b"a", b"b"], after=[b"a", b"b"])
    assert find_fields(two.schema, image="after").image == "after"
    for schema, settings, told in (
        (two.schema, {}, r"image_column: before, after could be it; name one by dataset\.image_column="),
        (two.schema, {"image": "during"}, r"image_column=during: there is no such column, but before \(binary\)"),
        (raw.schema, {"caption": "fine_label"}, r"caption_column=fine_label: is int64, no caption"),
        (raw.select(["url"]).schema, {}, r"has no column of pictures, but url \(string\)"),
    ):
        with pytest.raises(ValueError, match=told):
            find_fields(schema, **settings)


def test_pictures_are_made_smaller_and_captions_are_one_line(table: Make, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (90, 60), "red").save(buffer, "JPEG")
    made = table(range(2), image=[buffer.getvalue()] * 2, caption=[["a\nred\0one", "another"], None], label=[-1, 2])
    parquet.write_table(made, tmp_path / "a.parquet")
    source = LocalDataset(str(tmp_path), heldout=0, image_size=30)
    first, second = source.sample("train", 0), source.sample("train", 1)
    assert (first.image.size, first.encoded, first.caption, first.label) == ((45, 30), None, "a red one", None)
    assert (second.caption, second.label) == ("", 2)
    assert (first.meta["original_width"], first.meta["original_height"]) == (90, 60)


def test_rows_that_are_unusable_are_named(table: Make, png: Make, tmp_path: Path) -> None:
    values = [{"bytes": png(0)}, {"bytes": b"<html>"}, {"bytes": None, "path": "/etc/passwd"}, None]
    picture = pa.array(values, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    parquet.write_table(table(range(4), image=picture, score=[float("nan")] * 4), tmp_path / "a.parquet")
    source = LocalDataset(str(tmp_path), heldout=0)
    report = write_shards(source, tmp_path / "shards")
    assert [(str(each.defect), each.key) for each in report.problems] == [
        ("undecodable image", "row 1 of train"),
        ("missing image", "row 2 of train"),
        ("missing image", "row 3 of train"),
    ]
    assert source.sample("train", 0).meta["score"] is None
    with pytest.raises(UnusableError, match="names a file instead of holding it"):
        source.sample("train", 2)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, r"holds no \.arrow and no \.parquet file"),
        ({"a.parquet": b"<html>no parquet"}, r"a\.parquet: is no Parquet file"),
        ({"a.arrow": b"<html>no arrow, longer"}, r"a\.arrow: is no Arrow file"),
        ({"a.arrow": b""}, r"a\.arrow: is no Arrow file"),
        ({"state.json": b"{"}, r"state\.json: cannot be read"),
        ({"state.json": b'{"_data_files": [3]}'}, r"state\.json: names no files"),
        ({"state.json": b'{"_data_files": [{"filename": "../a.arrow"}]}'}, "names '../a.arrow', which is not in its"),
        ({"state.json": b'{"_data_files": [{"filename": "a.arrow"}]}'}, r"a\.arrow: is missing"),
        ({"dataset_dict.json": b'{"splits": ["/etc"]}'}, "names '/etc', which is not in its folder"),
    ],
)
def test_what_is_no_dataset_is_refused(content: dict[str, bytes], told: str, tmp_path: Path) -> None:
    for name, payload in content.items():
        (tmp_path / name).write_bytes(payload)
    with pytest.raises(ValueError, match=told):
        LocalDataset(str(tmp_path)).count("train")


def test_other_files_of_a_split_are_refused(table: Make, tmp_path: Path) -> None:
    parquet.write_table(table(range(2)), tmp_path / "a.parquet")
    parquet.write_table(table(range(2)).drop(["score"]), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet: has other columns than a\.parquet"):
        LocalDataset(str(tmp_path)).count("train")
    for path, told in (("nowhere", "no such file or folder"), (__file__, r"is neither \.arrow nor \.parquet")):
        with pytest.raises(ValueError, match=told):
            LocalDataset(path).count("train")


def test_a_user_is_told_in_one_line(table: Make, ldmlab: Make, tmp_path: Path, monkeypatch: Any) -> None:
    parquet.write_table(table(range(2)).select(["caption"]), tmp_path / "a.parquet")
    words = ("data", "dataset=huggingface", f"dataset.path={tmp_path}", f"data.path={tmp_path / 'shards'}")
    assert "has no column of pictures, but caption (string)" in ldmlab(*words).refusal()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pyarrow, which reads Arrow and Parquet, is missing; pip install" in ldmlab(*words).refusal()


def test_what_the_library_itself_saves(png: Make, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    kinds = {"image": datasets.Image(), "text": datasets.Value("string"), "kind": datasets.ClassLabel(names=["a", "b"])}
    rows = {
        "image": [{"bytes": png(n), "path": None} for n in range(9)],
        "text": ["x"] * 9,
        "kind": [n % 2 for n in range(9)],
    }
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    made.select(range(8, -1, -1)).save_to_disk(tmp_path / "reversed", num_shards=2)
    datasets.DatasetDict(train=made, test=made.select([4])).save_to_disk(tmp_path / "both")
    made.to_parquet(tmp_path / "parquet/train.parquet")
    for name, expected in {"reversed": [*range(8, -1, -1)], "both": [*range(9)], "parquet": [*range(9)]}.items():
        source = LocalDataset(str(tmp_path / name), heldout=0)
        assert numbers(source, "train") == expected
        assert source.config()["classes"] == ["a", "b"]
        assert source.sample("train", 1).label == expected[1] % 2
    assert numbers(LocalDataset(str(tmp_path / "both")), "heldout") == [4]
