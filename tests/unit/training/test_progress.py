"""What training tells of its progress: one line on a terminal of any width, and lines with the time left in a log."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace
from typing import Any, cast

import lightning as L
import pytest
from rich.console import Console

from ldmlab import pace
from ldmlab.training.callbacks.progress import ProgressLine, ProgressLines

METRICS = {"v_num": 0, "train/loss": 0.123456, "train/l1": 1.5, "val/psnr": 31.25, "images_per_second": 1234.5678}
MODULE = cast(L.LightningModule, None)


def trainer(step: int, max_steps: int = 20000) -> Any:
    """What the callbacks read."""
    return SimpleNamespace(global_step=step, max_steps=max_steps, is_global_zero=True, progress_bar_metrics=METRICS)


def run(callback: Any, start: int, stop: int) -> None:
    callback.on_train_start(trainer(start), MODULE)
    for step in range(start + 1, stop + 1):
        callback.on_train_batch_end(trainer(step), MODULE)
    callback.on_train_end(trainer(stop), MODULE)


@pytest.mark.parametrize("width", [24, 40, 60, 80, 200])
def test_bar_is_one_line_at_any_width(width: int) -> None:
    """Steps and the time left always; metrics as far as they fit."""
    file = io.StringIO()
    run(ProgressLine(Console(file=file, width=width, force_terminal=True, color_system=None)), 12000, 12007)
    frames = re.split(r"\r|\n", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue()))
    assert max(map(len, frames)) <= width
    assert file.getvalue().count("\n") == 1
    last = [frame for frame in frames if frame.strip()][-1]
    assert last.startswith("12007/20000 ")
    assert "Epoch" not in last
    assert ("images_per_second" in last) == (width == 200)
    assert ("train/loss 0.1235" in last) == (width >= 60)


def test_lines_tell_the_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A resumed run counts its speed from the step at which it goes on."""
    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    lines = ProgressLines()
    lines.on_train_start(trainer(10000), MODULE)
    for step in range(10001, 10101):
        now[0] += 1
        lines.on_train_batch_end(trainer(step), MODULE)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("step 10002/20000, 1 a second, 2:46:38 left  train/loss 0.1235")
    assert len(printed) == 5


def test_last_step_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """However short the run is."""
    lines = ProgressLines()
    lines.on_train_start(trainer(0, 1), MODULE)
    lines.on_train_batch_end(trainer(1, 1), MODULE)
    assert capsys.readouterr().out.startswith("step 1/1")
