"""`python -m metrics_bench`: measures both sides in turns, and writes what comes of it into a page."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from data_bench.page import table
from marked_page import write_between
from metrics_bench.pictures import write_pictures
from side_by_side.machine import ROOT, checkout, processor

BEGIN, END = (
    "<!-- bench-metrics: what follows is written by `make bench-metrics` -->",
    "<!-- bench-metrics: end -->",
)
SIDES = ("ours", "theirs")
EXTRACTORS = {"lite0": "EfficientNet-Lite0", "inception": "Inception, random weights"}
Told = Mapping[str, Any]
"""What `metrics_bench.one` prints."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return 0."""
    options = _options(argv)
    rows = []
    for extractor in options.extractors.split(","):
        for count in map(int, options.n.split(",")):
            rows.append(row(extractor, count, turns(extractor, count, options.turns, options.out)))
            print(" | ".join(rows[-1]), flush=True)
            text = page_of(rows, options.turns)
            (options.out / "metrics.md").write_text(text)
            if options.page:
                write_between(options.page, BEGIN, END, text)
    return 0


def turns(extractor: str, count: int, number: int, out: Path) -> dict[str, list[Told]]:
    """What each side told in each of so many turns, the first of a turn being the last of the one before."""
    folders = write_pictures(out / "pictures", count)
    told: dict[str, list[Told]] = {side: [] for side in SIDES}
    for turn in range(number):
        for side in SIDES[:: (-1) ** turn]:
            told[side].append(run(side, extractor, folders))
    return told


def run(side: str, extractor: str, folders: Sequence[Path]) -> Told:
    """What one side tells, in a process of its own.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "metrics_bench.one", side, extractor, *map(str, folders)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests/bench")))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{side}: {done.stderr.strip().splitlines()[-1]}")
    told: Told = json.loads(done.stdout.strip().splitlines()[-1])
    return told


HEAD = ["network", "pictures", "ours, s", "torch-fidelity, s", "ratio", "ours, MiB", "torch-fidelity, MiB", "differ by"]
FLOOR = 1e-2
"""Figures below this are compared as if they were it: KID of like pictures is about 0."""


def row(extractor: str, count: int, told: Mapping[str, Sequence[Told]]) -> list[str]:
    """A line of the table: medians over the turns, and the largest relative difference of a figure."""
    seconds, memory = (
        {side: median(each[name] for each in told[side]) for side in SIDES} for name in ("seconds", "memory")
    )
    mine, theirs = (told[side][0]["figures"] for side in SIDES)
    differ = max(abs(mine[name] - theirs[name]) / max(abs(theirs[name]), FLOOR) for name in mine)
    ratio = seconds["ours"] / seconds["theirs"]
    return [
        EXTRACTORS[extractor], f"2 x {count:,}", *(f"{seconds[side]:.0f}" for side in SIDES), f"{ratio:.2f}",
        *(f"{memory[side]:,.0f}" for side in SIDES), f"{differ:.0e}",
    ]  # fmt: skip


def page_of(rows: list[list[str]], number: int) -> str:
    """The table, and where it was measured."""
    return (
        f"{table(HEAD, rows)}\n\n{processor()}, median of {number}, {datetime.now(UTC):%Y-%m-%d}, commit {checkout()}."
    )


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m metrics_bench", description=__doc__)
    parser.add_argument("--n", default="2000,10000", help="pictures of each folder; several with commas between")
    parser.add_argument("--extractors", default="lite0", help=f"some of {', '.join(EXTRACTORS)}, with commas between")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "runs/bench-metrics", help="folder of the pictures")
    parser.add_argument("--page", type=Path, help="Markdown that the table is written into, between its two marks")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
