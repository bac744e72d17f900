"""A run that is killed at moments that nobody chose, again and again, ends as one that never was."""

from __future__ import annotations

import csv
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ldmlab.models.checkpoints import read_lightning


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith(("images_per_second", "cost/"))} for row in found]


@pytest.mark.slow
def test_kills_leave_no_trace(tiny: dict[str, tuple[str, ...]], shards: Path, tmp_path: Path) -> None:
    """SIGKILL and SIGTERM; at each there is a whole checkpoint, if there ever was one."""
    words = [sys.executable, "-m", "ldmlab", "train", *tiny["autoencoder"], f"data.path={shards}", "ckpt_path=auto"]
    words += ["trainer.max_steps=80", "checkpoint_every=7", "trainer.val_check_interval=10", "grid_every=30"]
    rng, kills = random.Random(0), 0
    subprocess.run([*words, f"output_dir={tmp_path / 'whole'}"], check=True)
    parted = tmp_path / "parted"
    table = parted / "metrics.csv"
    while kills < 6:
        written = table.stat().st_mtime_ns if table.exists() else 0
        process = subprocess.Popen([*words, f"output_dir={parted}"])
        while process.poll() is None and (table.stat().st_mtime_ns if table.exists() else 0) == written:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 1))
        if process.poll() is not None:
            break
        process.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        process.wait(60)
        kills += 1
        there = list(parted.glob("*.ckpt"))
        assert not there or any(read_lightning(path)["global_step"] for path in there)
    process = subprocess.run([*words, f"output_dir={parted}"])
    assert kills
    assert process.returncode == 0
    assert rows(parted) == rows(tmp_path / "whole")
    assert (parted / "model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
