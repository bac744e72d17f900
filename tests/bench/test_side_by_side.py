"""Passes and training steps of networks beside diffusers', in one process on a CPU. `make bench` prints the ratios."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from side_by_side.bench import Bench
from side_by_side.machine import description
from side_by_side.record import Record
from side_by_side.sections import run
from side_by_side.sizes import CPU

pytestmark = pytest.mark.bench
NOISE = 1.05
"""What a ratio may come to where two programs take the same time."""


def test_no_slower_than_diffusers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("diffusers", exc_type=ImportError)
    device = torch.device("cpu")
    record = Record(tmp_path / "rows.jsonl", description(device))
    bench = Bench(device, CPU, record, budget=math.inf)
    with capsys.disabled():
        print()
        run(bench, ["passes", "unet", "decoder", "training"])
        print(f"\n{record.markdown()}")
    rows = [row for row in record.rows.values() if row.section in ("Passes", "Training")]
    assert {row.key: row.notes for row in rows if row.notes} == {}
    assert {row.key: row.ratio for row in rows if row.ratio is None or row.ratio > NOISE} == {}
