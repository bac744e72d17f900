"""A callback of the tests' own: which samples each step saw, on which rank."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import lightning as L


class Seen(L.Callback):
    """Appends a line for every batch that was trained on: its step, and the rows of its samples.

    Args:
        pause: seconds to wait after each step of a job's first start, once it has come to `after`.
        after: a step.
    """

    def __init__(self, pause: float = 0.05, after: int = 0) -> None:
        self.start = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        self.pause, self.after = pause, after

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: dict[str, Any], index: int
    ) -> None:
        """A step's checkpoint comes after it, as this callback is no checkpoint."""
        name = f"seen-{trainer.global_rank}-of-{trainer.world_size}.txt"
        with open(Path(trainer.default_root_dir) / name, "a") as file:
            print(self.start, trainer.global_step, *batch["rows"], file=file, flush=True)
        if self.start == 0 and trainer.global_step >= self.after:
            time.sleep(self.pause)
