"""The learning rate as a curve."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch

from ldmlab.training.callbacks.throughput import is_logged


class LearningRateCurve(L.Callback):
    """Logs `train/learning_rate`, at which the logged step was made: that of the first optimizer's first group."""

    def __init__(self) -> None:
        self._rate: float | torch.Tensor = 0.0

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Read it before the schedule moves on."""
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self._rate = rate.clone() if isinstance(rate, torch.Tensor) else rate

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Log it with the row of this step."""
        if is_logged(trainer, trainer.global_step):
            module.log("train/learning_rate", torch.as_tensor(self._rate), batch_size=1)
