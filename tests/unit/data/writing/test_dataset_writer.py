"""Shards: img2dataset's layout, the same bytes however they are written, and nothing half-written, ever."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

import ldmlab
from ldmlab.data.writing.dataset_writer import write_shards
from ldmlab.worlds.shapes.dataset import ShapesSource

SOURCE = ShapesSource(image_size=16, train=70, heldout=25)
LONG = ShapesSource(image_size=32, train=1800, heldout=0)


def tars(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("*/*.tar"))}


def write(root: Path, source: ShapesSource = SOURCE, workers: int = 1) -> None:
    write_shards(source, root, shard_size=20, workers=workers)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes")
    write(root)
    return root


@pytest.fixture(scope="module")
def long_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("long")
    write_shards(LONG, root, shard_size=90)
    return root


def test_the_layout_is_img2datasets(dataset: Path) -> None:
    names = sorted(str(path.relative_to(dataset)) for path in dataset.rglob("*") if path.is_file())
    shards = [f"heldout/{n:05d}" for n in range(2)] + [f"train/{n:05d}" for n in range(4)]
    assert names == sorted(["dataset.json", *(f"{s}{end}" for s in shards for end in (".tar", "_stats.json"))])
    stats = json.loads((dataset / "train/00003_stats.json").read_text())
    assert (stats["count"], stats["successes"], stats["status_dict"]) == (10, 10, {"success": 10})
    with tarfile.open(dataset / "train/00001.tar") as tar:
        members = tar.getmembers()
    assert [m.name for m in members[:4]] == ["0000100.json", "0000100.png", "0000100.txt", "0000101.json"]
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}


def test_samples_hold_picture_caption_and_columns(dataset: Path) -> None:
    sample = SOURCE.sample("train", 25)
    with tarfile.open(dataset / "train/00001.tar") as tar:
        image, text, row = (tar.extractfile(f"0000105.{ext}").read() for ext in ("png", "txt", "json"))
    columns = json.loads(row)
    assert np.array_equal(Image.open(io.BytesIO(image)), sample.image)
    assert text.decode() == columns["caption"] == sample.caption
    assert columns["sha256"] == hashlib.sha256(image).hexdigest()
    assert (columns["key"], columns["status"], columns["url"]) == ("0000105", "success", "")
    assert (columns["width"], columns["height"]) == (16, 16)
    assert {key: columns[key] for key in ("scene", "asked", "label")} == sample.meta


def test_webdataset_reads_them(dataset: Path) -> None:
    urls = [str(path) for path in sorted(dataset.glob("train/*.tar"))]
    rows = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil").to_tuple("png", "txt", "json"))
    assert [text for _, text, _ in rows] == [SOURCE.sample("train", i).caption for i in range(70)]


def test_dataset_json_describes_it(dataset: Path) -> None:
    facts = json.loads((dataset / "dataset.json").read_text())
    assert facts["name"] == "shapes"
    assert facts["config"] == SOURCE.config()
    assert facts["counts"] == {"train": 70, "heldout": 25}
    assert facts["complete"] is True
    assert facts["licence"] == "CC0-1.0"


def test_any_number_of_workers_writes_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    write(tmp_path, workers=3)
    assert tars(tmp_path) == tars(dataset)
    hashes = [json.loads((root / "dataset.json").read_text())["sha256"] for root in (dataset, tmp_path)]
    assert hashes[0] == hashes[1]


def test_only_what_is_missing_is_written_again(dataset: Path, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train/00001.tar").unlink()
    (tmp_path / "train/00002_stats.json").unlink()
    with open(tmp_path / "heldout/00000.tar", "r+b") as file:
        file.truncate(5000)
    kept = {name: (tmp_path / name).stat().st_mtime_ns for name in ("train/00000.tar", "heldout/00001.tar")}
    report = write_shards(SOURCE, tmp_path, shard_size=20)
    assert (report.written, report.kept) == (3, 3)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept
    assert tars(tmp_path) == tars(dataset)


def test_what_decides_a_dataset_is_looked_at_once_however_many_shards_it_has(tmp_path: Path) -> None:
    """A source of a million files hashes what is said of all of them."""
    asked = []

    class Counted(ShapesSource):
        def config(self) -> dict[str, Any]:
            asked.append(self.name)
            return super().config()

    for count in (2, 6):
        asked.clear()
        write_shards(Counted(image_size=16, train=count, heldout=1), tmp_path / str(count), shard_size=1)
        assert len(asked) == 2  # for dataset.json, and to be hashed


@pytest.mark.parametrize("change", [{"seed": 1}, {"train": 71}, {"image_size": 17}, {"image_format": "webp"}])
def test_a_folder_of_another_configuration_is_refused(tmp_path: Path, change: dict[str, int]) -> None:
    write(tmp_path)
    before = tars(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path} holds a dataset of another configuration.*another folder"):
        write(tmp_path, replace(SOURCE, **change))
    with pytest.raises(ValueError, match="another configuration"):
        write_shards(SOURCE, tmp_path, shard_size=21)
    assert tars(tmp_path) == before


def test_somebody_elses_shards_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/00000.tar").write_bytes(b"precious")
    with pytest.raises(ValueError, match=r"no dataset\.json"):
        write(tmp_path)
    assert (tmp_path / "train/00000.tar").read_bytes() == b"precious"


@pytest.mark.parametrize("image_format", ["png", "jpg", "webp"])
def test_formats(tmp_path: Path, image_format: str) -> None:
    source = ShapesSource(image_size=32, train=2, heldout=0, image_format=image_format)
    write(tmp_path, source)
    with tarfile.open(tmp_path / "train/00000.tar") as tar:
        image = Image.open(io.BytesIO(tar.extractfile(f"0000000.{image_format}").read()))
    difference = np.abs(np.asarray(image, dtype=float) - np.asarray(source.sample("train", 0).image))
    assert difference.max() == 0 if image_format != "jpg" else difference.mean() < 5
    assert not (tmp_path / "heldout").exists()


def test_no_pipe_is_waited_for_and_no_link_written_through(dataset: Path, tmp_path: Path) -> None:
    """In the place of what is read and written beside the shards."""
    root, mine = shutil.copytree(dataset, tmp_path / "data"), tmp_path / "mine"
    mine.write_text("mine")
    stats = root / "train/00001_stats.json"
    stats.unlink()
    os.mkfifo(stats)
    tar = root / "train/00002.tar"
    tar.unlink()
    tar.symlink_to(mine)
    write(root)
    assert tars(root) == tars(dataset)
    assert (mine.read_text(), tar.is_symlink()) == ("mine", False)
    (root / "dataset.json").unlink()
    os.mkfifo(root / "dataset.json")
    with pytest.raises(ValueError, match="holds a dataset of another configuration"):
        write(root)


@pytest.mark.parametrize("change", [{"tar_sha256": None}, {"tar_bytes": "many"}, {"fingerprint": []}])
def test_a_shard_whose_statistics_lack_something_is_written_again(
    change: dict[str, Any], dataset: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(dataset, tmp_path / "data")
    path = root / "train/00001_stats.json"
    stats = json.loads(path.read_text())
    path.write_text(json.dumps(stats | change))
    write(root)
    written = json.loads(path.read_text())
    assert {name: written[name] for name in change} == {name: stats[name] for name in change}


def test_bad_arguments_write_nothing(tmp_path: Path) -> None:
    root = tmp_path / "new"
    with pytest.raises(ValueError, match=r"image_format='gif'.*png, jpg, webp"):
        write(root, replace(SOURCE, image_format="gif"))
    with pytest.raises(ValueError, match="no samples"):
        write(root, replace(SOURCE, train=0, heldout=0))
    with pytest.raises(ValueError, match="shard_size=0"):
        write_shards(SOURCE, root, shard_size=0)
    with pytest.raises(ValueError, match="workers=0"):
        write_shards(SOURCE, root, workers=0)
    assert not root.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_leaves_whole_shards_only(dataset: Path, tmp_path: Path, workers: int) -> None:
    """A limit on the size of files stands in for the full disk."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (15000, 15000))\n"
        "from pathlib import Path; from ldmlab.worlds.shapes.dataset import ShapesSource\n"
        "from ldmlab.data.writing.dataset_writer import write_shards\n"
        "try: write_shards(ShapesSource(image_size=16, train=70, heldout=25), Path(sys.argv[1]), 20, "
        f"workers={workers})\n"
        "except OSError as error: print(error.errno, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=env())
    assert f"[Errno {errno.EFBIG}]" in done.stdout, done.stderr
    assert "free some space and run again" in done.stdout
    assert [path.name for path in tmp_path.rglob("*.tmp")] == []
    assert all(tars(dataset)[name] == content for name, content in tars(tmp_path).items())
    write(tmp_path)
    assert tars(tmp_path) == tars(dataset)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_kill_in_the_middle_leaves_whole_shards_only(long_dataset: Path, tmp_path: Path, workers: int) -> None:
    code = (
        "import sys; from pathlib import Path; from ldmlab.worlds.shapes.dataset import ShapesSource\n"
        "from ldmlab.data.writing.dataset_writer import write_shards\n"
        "write_shards(ShapesSource(image_size=32, train=1800, heldout=0), Path(sys.argv[1]), 90, "
        f"workers={workers})\n"
    )
    cut, whole = tmp_path / "cut", long_dataset
    process = subprocess.Popen([sys.executable, "-c", code, str(cut)], env=env(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(cut.glob("train/*_stats.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for_the_end_of(children)
    assert 2 <= len(list(cut.glob("train/*_stats.json"))) < 20
    assert json.loads((cut / "dataset.json").read_text())["complete"] is False
    assert all(tars(whole)[name] == content for name, content in tars(cut).items())
    report = write_shards(LONG, cut, 90)
    assert report.kept >= 2
    assert tars(cut) == tars(whole)
    assert [path.name for path in cut.rglob("*.tmp")] == []


def env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(ldmlab.__file__).parents[1]), "OMP_NUM_THREADS": "1"}


def wait_for_the_end_of(processes: list[str]) -> None:
    """Workers end with their killed parent instead of waiting for work for ever."""
    deadline = time.monotonic() + 20
    while any(Path("/proc", pid, "exe").exists() for pid in processes):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.02)
