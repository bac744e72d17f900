"""Speed in images a second, and a progress that also reads well in a log file."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar


class Throughput(L.Callback):
    """Logs `images_per_second` over all ranks, averaged over the steps since it was last logged.

    Args:
        batch_size: images of one step, all ranks together.
        every_n_steps: how often it is measured.
    """

    def __init__(self, batch_size: int, every_n_steps: int) -> None:
        if every_n_steps < 1:
            raise ValueError(
                f"trainer.log_every_n_steps={every_n_steps}: give the steps between two rows, for example 50"
            )
        self.batch_size = batch_size
        self.every_n_steps = every_n_steps
        self._since: tuple[int, float] | None = None

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Measure at every logged step."""
        now = (trainer.global_step, time.perf_counter())
        if self._since is None:
            self._since = now
        elif trainer.global_step % self.every_n_steps == 0 and now[0] > self._since[0]:
            speed = (now[0] - self._since[0]) * self.batch_size / (now[1] - self._since[1])
            module.log("images_per_second", speed, prog_bar=True, batch_size=1)
            self._since = now


class ProgressLines(L.Callback):
    """Prints a line with the step and the metrics of the progress bar every few seconds, where there is no terminal.

    Args:
        seconds: least time between two lines.
    """

    def __init__(self, seconds: float = 20.0) -> None:
        self.seconds = seconds
        self._printed = 0.0

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Print when it is time, and at the end."""
        now = time.perf_counter()
        if now - self._printed < self.seconds and trainer.global_step < trainer.max_steps:
            return
        self._printed = now
        if trainer.is_global_zero:
            values = trainer.progress_bar_metrics.items()
            metrics = "  ".join(f"{name} {float(value):.4g}" for name, value in values if name != "v_num")
            print(f"step {trainer.global_step}/{trainer.max_steps}  {metrics}", flush=True)


def progress_callback() -> L.Callback:
    """A Rich bar on a terminal, lines elsewhere."""
    return RichProgressBar(leave=True) if sys.stderr.isatty() and sys.stdout.isatty() else ProgressLines()
