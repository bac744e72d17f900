"""What is kept of an index is used as far as it can be believed, wherever it lies, and never written through."""

import json
import os
import pickle
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

from ldmlab.data.index import column_files, columns
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Defect, tally
from ldmlab.data.shards.depth import Depth

FOLDER = ".ldmlab_index"


def _same(one, other):
    assert list(one) == list(other)
    assert (one.problems, one.fingerprint, one.sizes) == (other.problems, other.fingerprint, other.sizes)
    assert one.fields.names == other.fields.names
    for name in one.fields.names:
        np.testing.assert_array_equal(one.fields.numbers(name, 0, len(one)), other.fields.numbers(name, 0, len(one)))


def _columns(root):
    [folder] = (root / FOLDER / "columns").iterdir()
    return folder


def test_damage_of_what_is_stored_is_seen(tmp_path, write_shards):
    write_shards(tmp_path, [2, 1])
    (tmp_path / "00001_stats.json").unlink()
    first = ShardIndex.build(tmp_path, cache=False)
    ShardIndex.build(tmp_path)
    rng = random.Random(0)
    files = sorted(path for path in (tmp_path / FOLDER).rglob("*") if path.is_file() and path.stat().st_size)
    for path in rng.sample(files, 7):
        good = path.read_bytes()
        for _ in range(2):
            bad = bytearray(good)
            bad[rng.randrange(len(bad))] ^= rng.randrange(1, 256)
            path.write_bytes(bad)
            _same(ShardIndex.build(tmp_path), first)
        if path.exists():
            path.write_bytes(good[:-9])
        _same(ShardIndex.build(tmp_path), first)


def _put(folder, name, array):
    """Store another column in place of one, with its checksum: as whoever means it would."""
    np.save(folder / f"{name}.npy", array)
    facts = json.loads((folder / "facts.json").read_text())
    facts["sums"][name] = column_files._crc32(np.ascontiguousarray(array)) if array.dtype != object else 0
    facts["crc32"] = column_files._crc32_of({key: facts[key] for key in column_files.NAMES})
    (folder / "facts.json").write_text(json.dumps(facts))


SPOILED = {
    "image outside": ("spans", lambda a: a + np.array([10**9, 0, 0, 0])),
    "image before": ("spans", lambda a: a * [[-1, 1, 1, 1]]),
    "image of terabytes": ("spans", lambda a: a + np.array([0, 2**62, 0, 0])),
    "json outside": ("spans", lambda a: a + np.array([0, 0, 10**9, 0])),
    "other type": ("spans", lambda a: a.astype(np.float64)),
    "other shape": ("spans", lambda a: a[:, :3]),
    "fewer": ("labels", lambda a: a[:-1]),
    "no such flaw": ("caption_flaws", lambda a: a + 200),
    "ends that fall": ("keys_ends", lambda a: a[::-1].copy()),
    "ends beyond": ("keys_ends", lambda a: a + 1),
    "no utf-8": ("captions_blob", lambda a: a | 0x80),
    "no such kind": ("field_0_kinds", lambda a: a + 100),
    "no such word": ("field_0_values", lambda a: a + 9),
    "values of another length": ("field_0_values", lambda a: a[:1]),
    "objects": ("labels", lambda a: a.astype(object)),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_columns_that_do_not_hold_together_are_not_believed(tmp_path, write_shards, scans, kind):
    """They may be a stranger's, and say anything."""
    ShardIndex.build(write_shards(tmp_path, [2, 2]))
    first = ShardIndex.build(tmp_path, cache=False)
    scans.clear()
    name, spoil = SPOILED[kind]
    folder = _columns(tmp_path)
    _put(folder, name, spoil(np.load(folder / f"{name}.npy")))
    _same(ShardIndex.build(tmp_path), first)
    assert not scans, "they are joined anew from the scans"


@pytest.mark.parametrize("kind", ["image outside", "no such flaw", "ends beyond", "no utf-8"])
def test_of_a_large_index_a_sample_is_checked_when_it_is_read(tmp_path, write_shards, monkeypatch, kind):
    monkeypatch.setattr(column_files, "CHECKED_BYTES", 0)
    ShardIndex.build(write_shards(tmp_path, [2, 2]), needs=Needs(captions=False))
    name, spoil = SPOILED[kind]
    folder = _columns(tmp_path)
    _put(folder, name, spoil(np.load(folder / f"{name}.npy")))
    index = ShardIndex.build(tmp_path, needs=Needs(captions=False))
    with pytest.raises(ValueError, match=r"is not where the index has it: delete \.ldmlab_index|do not fill|codec"):
        [*index, *(index.columns.flaw("caption_flaws", row) for row in range(4))]


def _scan_file(root):
    return root / FOLDER / "scans" / "00000.tar.npz"


@pytest.mark.parametrize("kind", ["spans", "captions_blob", "lines", "compressed", "counts"])
def test_a_scan_that_does_not_hold_together_is_made_anew(tmp_path, write_shards, scans, kind):
    first = ShardIndex.build(write_shards(tmp_path, [2, 2]), cache=False)
    ShardIndex.build(tmp_path)
    scans.clear()
    shutil.rmtree(tmp_path / FOLDER / "columns")
    with np.load(_scan_file(tmp_path)) as stored:
        arrays = dict(stored)
    if kind == "spans":
        arrays["spans"] = arrays["spans"] + 10**9
    elif kind == "captions_blob":
        arrays[kind] = arrays[kind] | 0x80
    elif kind == "lines":
        arrays |= {"lines_blob": np.frombuffer(b'["x", ""]', np.uint8), "lines_ends": np.array([9])}
    elif kind == "counts":
        facts = json.loads(arrays["facts"].tobytes())
        arrays["facts"] = np.frombuffer(json.dumps([*facts[:4], 10**12, *facts[5:]]).encode(), np.uint8)
    else:
        arrays |= {"bomb": np.zeros(10**7, np.uint8)}
    (np.savez_compressed if kind == "compressed" else np.savez)(_scan_file(tmp_path), **arrays)
    _same(ShardIndex.build(tmp_path), first)
    assert scans == ["00000.tar"]


@pytest.mark.parametrize("kind", ["pipe", "link", "link to a file of mine", "link to a folder of mine"])
def test_nothing_is_written_through_what_stands_in_the_place_of_the_index(tmp_path, write_shards, monkeypatch, kind):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, mine = write_shards(tmp_path / "data", [2]), tmp_path / "mine"
    stored = folder / FOLDER
    if kind == "pipe":
        os.mkfifo(stored)
    else:
        stored.symlink_to(mine)
    if kind == "link to a file of mine":
        mine.write_text("mine")
    if kind == "link to a folder of mine":
        mine.mkdir()
    assert len(ShardIndex.build(folder)) == 2
    assert mine.exists() == kind.endswith("mine")
    assert not mine.is_file() or mine.read_text() == "mine"
    assert not mine.is_dir() or not list(mine.iterdir())


def test_a_folder_that_cannot_be_written_has_its_index_in_the_cache_of_the_user(
    tmp_path, write_shards, monkeypatch, scans
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_shards(tmp_path / "data", [2])
    (tmp_path / "data" / FOLDER).touch()
    for _ in range(2):
        index = ShardIndex.build(tmp_path / "data")
        assert index.columns.folder.is_relative_to(tmp_path / "cache")
    assert len(scans) == 1
    (tmp_path / "cache" / "ldmlab").chmod(0o500)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    (tmp_path / "cache").touch()
    assert ShardIndex.build(tmp_path / "data").columns.folder is None, "then it is in memory"


def test_nothing_is_written_where_it_is_not_to_be(tmp_path, write_shards, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = ShardIndex.build(write_shards(tmp_path / "data", [2]), store=False)
    before = {path.name for path in tmp_path.rglob("*")}
    _same(ShardIndex.build(tmp_path / "data", cache=False), first)
    assert {path.name for path in tmp_path.rglob("*")} == before
    assert FOLDER not in before


def test_the_index_of_earlier_versions_is_taken_away(tmp_path, write_shards):
    write_shards(tmp_path, [2])
    (tmp_path / ".ldmlab_index.npz").write_bytes(b"old")
    ShardIndex.build(tmp_path)
    assert not (tmp_path / ".ldmlab_index.npz").exists()


def test_a_disk_that_is_full_costs_the_store_alone(tmp_path, write_shards, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    write_shards(tmp_path, [2])
    before = ShardIndex.build(tmp_path, cache=False)
    monkeypatch.setattr(column_files.NpyWriter, "finish", full)
    _same(ShardIndex.build(tmp_path), before)
    assert "kept in memory alone" in caplog.text
    assert not list((tmp_path / FOLDER / "columns").iterdir())


def test_an_index_travels_to_other_processes_by_the_names_of_its_files(tmp_path, write_shards):
    index = ShardIndex.build(write_shards(tmp_path, [40, 40]))
    some = index.where("even", lambda start, stop: np.arange(start, stop) % 2 == 0)
    for each in (index, some, ShardIndex.build(tmp_path, cache=False)):
        _same(pickle.loads(pickle.dumps(each)), each)
    assert len(pickle.dumps(some)) < 4000


KILLED = """
import sys
from pathlib import Path
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.index import index_folder
import os, signal
save = index_folder.save_scan
def once(path, held):
    save(path, held)
    if path.name == "00002.tar.npz":
        os.kill(os.getpid(), signal.SIGKILL)
index_folder.save_scan = once
ShardIndex.build(sys.argv[1])
"""


def test_shards_that_were_scanned_before_a_kill_are_not_scanned_again(tmp_path, write_shards, scans):
    write_shards(tmp_path, [1, 1, 1, 1, 1])
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    assert len(ShardIndex.build(tmp_path)) == 5
    assert scans == ["00003.tar", "00004.tar"]


def test_several_processes_find_the_same_as_one(tmp_path, write_shards):
    write_shards(tmp_path, [3, 2, 4])
    alone = ShardIndex.build(tmp_path, cache=False)
    _same(ShardIndex.build(tmp_path, workers=2), alone)


def test_a_scan_that_looks_at_more_serves_those_who_ask_for_less(tmp_path, write_shards, scans):
    write_shards(tmp_path, [2])
    assert ShardIndex.build(tmp_path).checksum(0) is None
    with_checksums = ShardIndex.build(tmp_path, depth=Depth(checksums=True))
    assert with_checksums.checksum(0) is not None
    assert len(scans) == 2
    assert ShardIndex.build(tmp_path).checksum(0) == with_checksums.checksum(0)
    decoded = ShardIndex.build(tmp_path, depth=Depth(decode=True))
    assert decoded.checksum(0) == with_checksums.checksum(0)
    assert len(scans) == 3


def test_what_a_selection_holds_is_kept_beside_the_columns(tmp_path, write_shards):
    index = ShardIndex.build(write_shards(tmp_path, [6, 6]))
    asked = []

    def even(start, stop):
        asked.append((start, stop))
        return np.arange(start, stop) % 2 == 0

    first, again = (ShardIndex.build(tmp_path).where("even", even) for _ in range(2))
    assert [entry.caption for entry in again] == [f"caption {n}" for n in range(0, 12, 2)]
    _same(first, again)
    assert asked == [(0, 12)]
    assert isinstance(again.rows.base, np.memmap) or isinstance(again.rows.base.base, np.memmap)
    third = again.where("third", lambda start, stop: np.arange(start, stop) % 3 == 0)
    assert [entry.caption for entry in third] == ["caption 0", "caption 6"]
    assert third.fingerprint == index.select([0, 6]).fingerprint != index.fingerprint


@pytest.mark.parametrize("needs", [Needs(), Needs(True, 5), Needs(False, 5, frozenset({"score"}))])
def test_problems_are_counted_without_naming_them(tmp_path, write_tar, png, monkeypatch, needs):
    rng, parts = random.Random(0), []
    for number in range(90):
        meta = {"label": rng.choice([1, 7, "x", None]), "score": rng.choice([1, None])}
        text = rng.choice([b"text", b"", b"\xff", b"a\0b"])
        parts += [(f"{number}.png", png(1)), (f"{number}.txt", text), (f"{number}.json", json.dumps(meta).encode())]
    write_tar(tmp_path / "0.tar", [*parts, ("no.txt", b"")])
    monkeypatch.setattr(columns, "CHUNK", 7)
    index = ShardIndex.build(tmp_path, needs=needs)
    assert index.problems.tallies == tally(index.problems)
    assert list(index.problems.tallies) == list(tally(index.problems))
    assert len(index.problems.tallies) > 3


def test_problems_are_read_from_where_they_are_stored(tmp_path, write_tar, members):
    parts = [(name, b"" if name.endswith("txt") else payload) for n in range(9) for name, payload in members(n)]
    write_tar(tmp_path / "0.tar", [*parts, *members(9), ("README", b"")])
    index = ShardIndex.build(tmp_path)
    assert len(index.problems) == 10
    assert index.problems[-1].key == "000000008"
    assert index.problems[0].defect is Defect.IGNORED_MEMBER
    assert {*map(type, vars(index.problems).values())} == {tuple, dict}, "counts alone are held"
