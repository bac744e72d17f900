"""The progress of training: a bar of one line, or lines for a log file."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ldmlab.pace import Pace, draws_bars
from ldmlab.training.callbacks.beside import beside_training

LEAST_BAR, MOST_BAR = 4, 40
"""Columns."""
TIME = 8
"""Columns of the time left."""
REFRESH = 2.0
"""Seconds between two looks at the metrics, which wait for the GPU."""


@beside_training("the progress")
class ProgressLines(L.Callback):
    """Prints a line with the step and the metrics of the progress bar every few seconds, where there is no terminal.

    Args:
        seconds: least time between two lines; the first comes sooner.
    """

    def __init__(self, seconds: float = 20.0) -> None:
        self.seconds = seconds
        self._pace = Pace(None)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """A resumed run counts from where it goes on."""
        self._pace = Pace(length(trainer), trainer.global_step, self.seconds)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Print when it is time, and at the end."""
        self._pace.done = trainer.global_step
        if (self._pace.is_due() or trainer.global_step == trainer.max_steps) and trainer.is_global_zero:
            metrics = "  ".join(_shown(trainer))
            print(f"step {self._pace.status()}  {metrics}", flush=True)


@beside_training("the progress bar")
class ProgressLine(L.Callback):
    """A bar over the steps with the time left, and of the metrics as many as fit beside it on one line.

    Args:
        console: where it is drawn; stderr if not given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._due, self._shown = 0.0, ""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Begin at the step that a resumed run goes on from."""
        if not trainer.is_global_zero:
            return
        width = self._bar_width(trainer)
        bar = [BarColumn(bar_width=width)] if width else []
        count = "{task.completed:.0f}" if length(trainer) is None else "{task.completed:.0f}/{task.total:.0f}"
        columns = [TextColumn(count), *bar, TimeRemainingColumn(compact=True)]
        metrics = TextColumn("{task.fields[metrics]}", markup=False)
        self._progress = Progress(*columns, metrics, console=self.console, refresh_per_second=4)
        self._task = self._progress.add_task("", total=length(trainer), completed=trainer.global_step, metrics="")
        self._progress.start()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Move the bar on, and show the newest metrics beside it."""
        if self._progress is not None:
            now = time.monotonic()
            if now >= self._due or trainer.global_step == trainer.max_steps:
                self._due, self._shown = now + REFRESH, self._fitting(trainer)
            self._progress.update(self._task, completed=trainer.global_step, metrics=self._shown)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Leave the bar as it is."""
        self._stop()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Leave the terminal to what is told of the error."""
        self._stop()

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """For ways of ending that call nothing else."""
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _bar_width(self, trainer: L.Trainer) -> int:
        """A third of the terminal, or none where it is very narrow."""
        room = self.console.width - _steps_width(trainer) - TIME - 2
        width = min(MOST_BAR, self.console.width // 3, room)
        return width if width >= LEAST_BAR else 0

    def _fitting(self, trainer: L.Trainer) -> str:
        bar = self._bar_width(trainer)
        room = self.console.width - _steps_width(trainer) - TIME - 3 - (bar + 1 if bar else 0)
        shown = ""
        for metric in _shown(trainer):
            longer = f"{shown}  {metric}".strip()
            if len(longer) > room:
                break
            shown = longer
        return shown


def length(trainer: L.Trainer) -> int | None:
    """Steps of a run; None for one that ends by the clock alone."""
    return trainer.max_steps if trainer.max_steps >= 0 else None


def _steps_width(trainer: L.Trainer) -> int:
    return 2 * len(str(trainer.max_steps)) + 1


def _shown(trainer: L.Trainer) -> list[str]:
    """What each step logs, and what is logged for the progress bar.

    Lightning reads the latter in every step, so it may hold nothing that a step computes on a GPU.
    """
    every_step = {
        name: value for name, value in getattr(trainer, "callback_metrics", {}).items() if name.startswith("train/")
    }
    metrics = {**every_step, **trainer.progress_bar_metrics}
    return [f"{name} {float(value):.4g}" for name, value in metrics.items() if name != "v_num"]


def progress_callback() -> L.Callback:
    """A bar where stdout and stderr are a terminal, lines elsewhere."""
    return ProgressLine() if draws_bars(sys.stderr) and draws_bars(sys.stdout) else ProgressLines()
