"""What several devices draw and measure, a rank of which is killed on the way, is what one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldmlab.run_folder import RECORD

from ..pie_folder import write_pie_folder

Command = Callable[..., Any]
SECONDS = 120
WORDS = {
    "sample": ("n=20", "sampler.steps=4"),
    "evaluate": ("n=16", "batch_size=3", "sampler.steps=4", "compile=false"),
    "benchmark": ("n=40", "sampler.steps=4", "guidance.scale=2"),
    "pie_bench": ("sampler.steps=4", "guidance.scale=2", "methods=[prompt_to_prompt,sdedit]"),
}
"""Of commands, small runs."""
SIGNS = {
    "sample": "000*.png",
    "evaluate": "measured/*/generated-*",
    "benchmark": "measured/*/*",
    "pie_bench": "measured/*/edits-*",
}
"""Files that show that drawing goes on."""


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if "ldmlab.cli.rank" in Path(f"/proc/{child}/cmdline").read_text()]


def wait_for_drawing(process: subprocess.Popen[str], folder: Path, sign: str) -> None:
    end = time.monotonic() + SECONDS
    while len(list(folder.glob(sign))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def results(folder: Path) -> dict[str, Any]:
    """What was drawn and measured, without what says when and where."""
    found: dict[str, Any] = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".png", ".txt", ".csv")
    }
    if (folder / "metrics.json").is_file():
        found["figures"] = json.loads((folder / "metrics.json").read_text())["metrics"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("command", WORDS)
def test_a_killed_rank_costs_no_more_than_its_own_batch(
    command: str, shards: Path, ldmlab: Command, tmp_path: Path
) -> None:
    words = [command, *WORDS[command], *([f"data.path={shards}"] if command == "evaluate" else [])]
    if command == "pie_bench":
        words.append(f"path={write_pie_folder(tmp_path / 'pie', '1116669', size=64)}")
    one, many = tmp_path / "one", tmp_path / "many"
    alone = ldmlab(*words, f"output_dir={one}")
    assert alone.code == 0, alone.err
    start = [sys.executable, "-m", "ldmlab", *words, f"output_dir={many}"]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*start, "devices=3"], **options)
    wait_for_drawing(process, many, SIGNS[command])
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGKILL
    assert told.splitlines()[-1].startswith("ldmlab: rank 1 of 3 was killed (SIGKILL), and all ranks ended with it")
    done = subprocess.run([*start, "devices=2"], timeout=SECONDS, check=False, **options)
    assert done.returncode == 0, done.stderr
    assert "already" in done.stdout
    assert results(many) == results(one)
    assert not (many / "measured").exists()
    assert {path.name for path in (many / ".hydra").iterdir()} == set(RECORD)


@pytest.mark.slow
def test_a_signal_stops_all_ranks_in_good_order(tmp_path: Path) -> None:
    start = [sys.executable, "-m", "ldmlab", "sample", "n=64", "sampler.steps=8", f"output_dir={tmp_path}", "devices=2"]
    process = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_drawing(process, tmp_path, SIGNS["sample"])
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
    assert told.splitlines()[-1] == "ldmlab: stopped by SIGTERM"
    assert "Traceback" not in told
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "stopped"
