"""The one checkpoint that a run keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint


class LastCheckpoint(Checkpoint):
    """Replaces a checkpoint, whole, every n steps and at the last step.

    Always at the end of a batch, so that a run that is made longer counts its steps as one that never stopped.

    Args:
        path: the checkpoint.
        every_n_steps: how often.
    """

    def __init__(self, path: Path, every_n_steps: int) -> None:
        self.path = path
        self.every_n_steps = every_n_steps
        self._saved = 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """The step that a run goes on from needs no saving."""
        self._saved = trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Save when it is time, once a step."""
        step = trainer.global_step
        if (step % self.every_n_steps == 0 or step == trainer.max_steps) and step != self._saved:
            self._saved = step
            trainer.save_checkpoint(self.path, weights_only=False)
