"""What a run owes when it goes on: the rows that it writes again, the measurements that it was killed before."""

from __future__ import annotations

from math import inf

import lightning as L
from torch import Tensor

from ldmlab.data.training_data import TrainingData
from ldmlab.training.callbacks.evaluation import Evaluation
from ldmlab.training.callbacks.grids import PictureGrid
from ldmlab.training.callbacks.watching import Watching
from ldmlab.training.csv_log import TableLogger


class GoingOn(L.Callback):
    """Puts the table of metrics back to the step of the checkpoint, and makes up for what was to be measured there.

    To be called after all other callbacks, which validation calls as well.
    """

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Before the first step, put the table of metrics back, and measure and validate where that was due."""
        for logger in tables(trainer):
            logger.go_back_to(trainer.global_step)
        if trainer.global_step > 0:
            _measure(trainer, module)
        if trainer.global_step > 0 and validation_is_due(trainer):
            _validate(trainer)
        _begin_an_epoch_behind_a_last_batch(trainer)


def finish(trainer: L.Trainer, module: L.LightningModule, data: TrainingData) -> None:
    """Do again what follows the last step, with a run that has been restored there: pictures, figures, validation."""
    module.to(trainer.strategy.root_device)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, PictureGrid):
            callback.on_train_batch_end(trainer, module)
    _measure(trainer, module)
    measured = dict(trainer.callback_metrics)
    if validation_is_due(trainer) and data.has_heldout:
        trainer.validate(module, data, verbose=False)  # which forgets all figures
    trainer.callback_metrics.update({**measured, **trainer.callback_metrics})


def validation_is_due(trainer: L.Trainer) -> bool:
    """Whether one follows the batch that training has come to."""
    return trainer.fit_loop.epoch_loop._should_check_val_fx(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]


def write_row(trainer: L.Trainer, last: bool) -> None:
    """Write a step's figures before its checkpoint: who is killed in between goes on after the step.

    Args:
        trainer: at the end of a step.
        last: whether it is the run's last step, whose figures are always written.
    """
    connector = trainer._logger_connector
    figures = connector.metrics["log"]
    if connector.should_update_logs:
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in figures.items()}
        for logger in tables(trainer):
            logger.log_metrics(
                {"epoch": trainer.current_epoch, **row}, trainer.fit_loop.epoch_loop._batches_that_stepped
            )
    elif last:
        connector.log_metrics(figures)


def tables(trainer: L.Trainer) -> list[TableLogger]:
    """The loggers that write `metrics.csv`."""
    return [logger for logger in trainer.loggers if isinstance(logger, TableLogger)]


def _measure(trainer: L.Trainer, module: L.LightningModule) -> None:
    """What was to be measured at the step of the checkpoint, which was written before, and what looks at it."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Evaluation):
            callback.on_train_batch_end(trainer, module)
        elif isinstance(callback, Watching):
            callback.look_if_measured(trainer)


def _validate(trainer: L.Trainer) -> None:
    """As Lightning's loop does after a batch. It will count this validation itself, when it passes over its place."""
    loop, connector = trainer.fit_loop.epoch_loop.val_loop, trainer._logger_connector
    first, counted = connector._first_loop_iter, loop.batch_progress.state_dict()
    loop.restarting = False
    trainer.validating = True
    loop.run()
    trainer.training = True
    connector._first_loop_iter = first
    loop.batch_progress.load_state_dict(counted)


def _begin_an_epoch_behind_a_last_batch(trainer: L.Trainer) -> None:
    """Do for epochs of unknown length what Lightning does for others in `reset`; it would run in circles otherwise."""
    loop = trainer.fit_loop.epoch_loop
    progress = loop.batch_progress
    if not (loop.restarted_on_train_batch_end and progress.is_last_batch and trainer.num_training_batches == inf):
        return
    progress.increment_completed()
    for each in (progress, loop.scheduler_progress, loop.automatic_optimization.optim_progress):
        each.reset_on_run()
    loop.val_loop.batch_progress.total.reset()
    loop.reset_restart_stage()
