"""The checkpoints that a run keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from ldmlab.models.checkpoints import CHECKPOINT
from ldmlab.training.agreement import Agreement
from ldmlab.training.callbacks.evaluation import evaluations, has_measured, measurement_is_due
from ldmlab.training.callbacks.going_on import validation_is_due, write_row
from ldmlab.training.dev_run import is_dev_run
from ldmlab.training.signals import STOP, Stopped


class LastCheckpoint(Checkpoint):
    """Replaces `last.ckpt`, whole, every n steps, at the last step, and when the run is asked to stop.

    Always as at the end of a batch, so that a run that is made longer counts its steps as one that never stopped. Of
    several ranks, all save and stop at the batch at which they agree on it.

    Args:
        every_n_steps: how often.
        path: the checkpoint; `last.ckpt` in the Trainer's `default_root_dir` if not given.
        asked: gives what to raise once the step is finished and saved, if the run is to stop; by default, what a signal
            asks for.
    """

    def __init__(
        self,
        every_n_steps: int,
        path: Path | None = None,
        asked: Callable[[], Stopped | None] = STOP.asked,
    ) -> None:
        self.every_n_steps = every_n_steps
        self.path = path
        self.asked = asked
        self._saved = self._step = self._batches = 0
        self._agreement = Agreement()
        self._stop: Stopped | None = None
        self._broken_off = False
        self._loops: dict[str, Any] | None = None

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """The step that a run goes on from needs no saving."""
        self._saved = self._step = trainer.global_step
        self._agreement.begin()
        self._agree()
        for each in evaluations(trainer):
            each.between = self._break_off

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Stop, if that is asked for and nothing would be lost."""
        self._end(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Save when it is time, once a step; between the batches of one step there is nothing to save."""
        step = trainer.global_step
        stepped, self._step = step != self._step, step
        self._agree()
        due = step % self.every_n_steps == 0 or step == trainer.max_steps or self._stop is not None
        due |= trainer.should_stop  # trainer.max_time is over
        more_follows = validation_is_due(trainer) or trainer.is_last_batch or measurement_is_due(trainer)
        self._loops = trainer.fit_loop.state_dict() if stepped and more_follows else None
        if stepped and due:
            write_row(trainer, last=step == trainer.max_steps)
            self._save(trainer)

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Ranks may have different numbers of batches."""
        self._batches = self._agreement.least(int(min(sum(trainer.num_val_batches), sys.maxsize)))

    def on_validation_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, number: int, *_: Any
    ) -> None:
        """A validation need not end before a run stops: it is made up for when the run goes on."""
        if number < self._batches:
            self._agree()
            if self._stop is not None and self._loops is not None and self._saved != trainer.global_step:
                self._save(trainer)
            self._end(trainer)

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Save the step whose measurement was broken off: it is made up for when the run goes on."""
        if self._broken_off and self._saved != trainer.global_step:
            write_row(trainer, last=trainer.global_step == trainer.max_steps)
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Save what a validation or the end of an epoch has ended early, and what has looked at figures since."""
        if self._saved != trainer.global_step or has_measured(trainer):
            self._save(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Within a validation, after a measurement or the last batch of an epoch, save where the run was before it."""
        if self._loops is not None:
            checkpoint["loops"]["fit_loop"] = self._loops

    def _save(self, trainer: L.Trainer) -> None:
        self._saved = trainer.global_step
        if not is_dev_run(trainer):
            trainer.save_checkpoint(self.path or Path(trainer.default_root_dir) / CHECKPOINT, weights_only=False)
        if self._stop is not None:
            trainer.strategy.checkpoint_io.teardown()  # what is written in the background, before anything ends

    def _agree(self) -> None:
        """Take over what has been asked of any rank."""
        own = self.asked()
        number = self._agreement.on(0 if own is None else own.number)
        if number and self._stop is None:
            self._stop = Stopped(number)

    def _break_off(self) -> None:
        """Between batches of a measurement, which leaves the model and random numbers as they were."""
        self._agree()
        if self._stop is not None:
            self._broken_off = True
            raise self._stop

    def _end(self, trainer: L.Trainer) -> None:
        if self._stop is not None and self._saved == trainer.global_step:
            raise self._stop
