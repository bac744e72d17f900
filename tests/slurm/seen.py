"""A callback of the tests' own: which samples each step saw, on which rank."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning as L


class Seen(L.Callback):
    """Appends a line for every batch that was trained on: its step, and the rows of its samples."""

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: dict[str, Any], index: int
    ) -> None:
        """A step's checkpoint comes after it, as this callback is no checkpoint."""
        name = f"seen-{trainer.global_rank}-of-{trainer.world_size}.txt"
        with open(Path(trainer.default_root_dir) / name, "a") as file:
            print(os.environ.get("SLURM_RESTART_COUNT", 0), trainer.global_step, *batch["rows"], file=file, flush=True)
