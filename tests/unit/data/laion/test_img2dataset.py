"""The real img2dataset and a real server, which gives what the web gives: `make laion` brings the program."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.laion.program import find_program
from ldmlab.data.needs import Needs
from ldmlab.data.shard_dataset import ShardDataset

from .picture_server import serving

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.slow

GOOD = (
    "good/1.jpg",
    "good/2.jpg",
    "moved/3.jpg",
    "mislabelled/webp.jpg",
    "mislabelled/png.jpg",
    "grey/1.jpg",
    "tiny/1",
)
BAD = {
    "missing/1.jpg": "1 HTTP Error 404: Not Found",
    "loop/1.jpg": "1 redirected in a circle",
    "truncated/1.jpg": "1 cut off on its way",
    "page/1.jpg": "1 no picture inside",
    "huge/1.png": "1 more than 64 million pixels",
    "unwanted/1.jpg": "1 Use of image disallowed by X-Robots-Tag directive",
    "slow/1.jpg": "1 timed out",
}

STORED = {name: BAD[name] for name in ("page/1.jpg", "huge/1.png")}


@pytest.fixture
def program() -> str:
    try:
        return find_program("img2dataset")
    except ValueError as error:
        pytest.skip(str(error))


def command(urls: Path, root: Path, program: str, *more: str) -> list[str]:
    words = ["data", "dataset=laion", f"urls={urls}", f"data.path={root}", f"dataset.program={program}", *more]
    return [sys.executable, "-m", "ldmlab", *words]


def write_list(path: Path, base: str, kinds: list[str]) -> Path:
    rows = {"URL": [f"{base}/{kind}" for kind in kinds], "TEXT": kinds, "pwatermark": [0.0] * len(kinds)}
    parquet.write_table(pa.table(rows), path)
    return path


@pytest.mark.parametrize("encoded_anew", [True, False])
def test_what_the_web_gives_is_told_apart(encoded_anew: bool, program: str, tmp_path: Path) -> None:
    """Without being encoded anew, files are stored as they come: then it is the audit that finds what is no picture."""
    root = tmp_path / "laion"
    more = ("dataset.timeout=4", "shard_size=5", "dataset.image_size=48")
    more += () if encoded_anew else ("dataset.options.disable_all_reencoding=true",)
    with serving() as base:
        urls = write_list(tmp_path / "meta.parquet", base, [*GOOD, *BAD])
        done = subprocess.run(command(urls, root, program, *more), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    fetched = 7 if encoded_anew else 9
    assert f"14 URLs, {fetched} downloaded, in 3 shards" in done.stdout
    found = re.search(rf"failed: {14 - fetched} \((.*)\)", done.stdout)
    assert {*found[1].split(", ")} == {*BAD.values()} - (set() if encoded_anew else {*STORED.values()})
    assert "usable: 7 samples" in done.stdout
    index = ShardIndex.build(root / "train", needs=Needs())
    assert {*index.captions} == {*GOOD}
    data = ShardDataset(index, 32)
    assert {data[row]["image"].shape for row in range(len(index))} == {(3, 32, 32)}
    rejected = [line.partition(",")[0] for line in (root / "data_problems.csv").read_text().splitlines()[1:]]
    assert sorted(rejected) == ([] if encoded_anew else ["oversized image", "undecodable image"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_download_goes_on(number: int, program: str, tmp_path: Path) -> None:
    root = tmp_path / "laion"
    kinds = [f"good/{n}.jpg" for n in range(12)]
    with serving() as base:
        urls = write_list(tmp_path / "meta.parquet", base, [*kinds, "slow/1.jpg"])
        words = command(urls, root, program, "dataset.timeout=4", "shard_size=4", "workers=1")
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            while not (root / "train/00002_stats.json").exists():
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(number)
            errors = process.communicate(timeout=30)[1]
        assert "Traceback" not in errors
        first = os.stat(root / "train/00000.tar").st_mtime_ns
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert "13 URLs, 12 downloaded, in 4 shards" in done.stdout, done.stderr
    assert os.stat(root / "train/00000.tar").st_mtime_ns == first
    assert not (root / "train/_tmp").exists()
