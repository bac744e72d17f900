"""ldmlab's loader beside others: photographs of 512 px and their captions to batches of 256 px, in turns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import median

from data_bench.ffmpeg import environment
from data_bench.one import WORKERS
from data_bench.page import table
from data_bench.photos import write_shards
from data_bench.rivals import BATCH, NAMES

PHOTOS, TURNS = 1280, 5
SECONDS = 300
Rates = dict[str, dict[int, list[float]]]

PREPARE = "import sys, pathlib; from data_bench.rivals.{} import prepare; prepare(*map(pathlib.Path, sys.argv[1:]))"


def section(folder: Path) -> str:
    """Images a second, and how many times those of webdataset."""
    shards = write_shards(folder / "shards", PHOTOS, in_each=PHOTOS // 4)
    present = [name for name in NAMES if _is_prepared(name, shards, folder)]
    rates: Rates = {name: {workers: [] for workers in WORKERS} for name in present}
    for turn in range(TURNS):
        for name in present if turn % 2 == 0 else present[::-1]:
            for workers, rate in _measured(name, shards, folder).items():
                rates[name][workers].append(rate)
    return text(rates, [name for name in NAMES if name not in present])


def text(rates: Rates, absent: list[str]) -> str:
    """The table, and what is missing."""
    base = {workers: median(each) for workers, each in rates["webdataset"].items()}
    head = ["loader", *(f"{workers} worker{'s' * (workers != 1)}" for workers in WORKERS)]
    rows = []
    for name, by_workers in rates.items():
        cells = [(median(each), median(each) / base[workers]) for workers, each in by_workers.items()]
        rows.append([_title(name), *(f"{rate:.0f} ({ratio:.2f})" for rate, ratio in cells)])
    about = (
        f"Images a second, and how many times webdataset's: {PHOTOS} photographs of 512 px (JPEG of quality 90) with "
        f"captions to batches of {BATCH} of 256 px; medians of {TURNS} turns, in each of which a loader has a process "
        "of its own. Workers are processes; those of SPDL are threads."
    )
    missing = [f"Not installed here: {', '.join(absent)}."] if absent else []
    return "\n\n".join([about, table(head, rows), *missing])


def _title(name: str) -> str:
    title = str(import_module(f"data_bench.rivals.{name}").TITLE)
    package = title.split(" ")[0].split(",")[0].lower()
    return title if package == "ldmlab" else f"{title} {version(package)}"


def _is_prepared(name: str, shards: Path, folder: Path) -> bool:
    """Convert the data to what a loader reads; false where it is not installed."""
    shutil.rmtree(folder / name, ignore_errors=True)
    done = _run(["-c", PREPARE.format(name), str(shards), str(folder / name)], name, folder)
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", flush=True)
    return not done.returncode


def _measured(name: str, shards: Path, folder: Path) -> dict[int, float]:
    done = _run(["-m", "data_bench.one", name, str(shards), str(folder / name)], name, folder)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    rates = {int(workers): rate for workers, rate in json.loads(done.stdout.strip().splitlines()[-1]).items()}
    print(name, {workers: round(rate) for workers, rate in rates.items()}, flush=True)
    return rates


def _run(arguments: list[str], name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    own = environment(folder / "ffmpeg") if name == "spdl" else {}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **own})
