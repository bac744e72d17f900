"""How far training has come, for whoever looks on from outside."""

from __future__ import annotations

from typing import Any

import lightning as L

from ldmlab.pace import Pace
from ldmlab.status import TRAINING, tell, told_figure
from ldmlab.training.callbacks.beside import beside_training
from ldmlab.training.callbacks.progress import length


@beside_training("the status")
class StatusFile(L.Callback):
    """Tells step, time left and the last figure in `status.json`; see `ldmlab.status`. It asks no GPU for a value.

    Args:
        figure: the logged figure that the run is judged by.
    """

    def __init__(self, figure: str | None = None) -> None:
        self.figure = figure
        self._pace = Pace(None)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """A run that goes on counts from where it does."""
        self._pace = Pace(length(trainer), trainer.global_step)
        tell(doing=TRAINING, step=trainer.global_step, steps=length(trainer))

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Tell when it is time."""
        self._pace.done = trainer.global_step
        tell(at_once=False, step=self._pace.done, left=self._pace.left())

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Tell the newest figure."""
        value = None if self.figure is None else trainer.callback_metrics.get(self.figure)
        if value is not None and not trainer.sanity_checking:
            tell(figure=told_figure(self.figure, float(value)), step=trainer.global_step)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Tell the last step."""
        tell(step=trainer.global_step, left=None)
