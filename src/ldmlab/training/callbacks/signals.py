"""Signals while a run trains."""

from __future__ import annotations

import lightning as L

from ldmlab.training.signals import STOP


class HoldSignals(L.Callback):
    """Takes signals back from Lightning, whose own handlers end a run before it is saved."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """It sets them just before."""
        STOP.hold()
