"""Lightning's callbacks that watch a figure, also where it is one of `Evaluation`, which comes at steps of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning as L
from lightning.pytorch import callbacks as lightnings

from ldmlab.confidence import ERROR
from ldmlab.training.callbacks.curves import is_measured
from ldmlab.training.callbacks.evaluation import Evaluation, has_measured


class Watching(L.Callback):
    """Looks at a figure "eval/..." when it has just been measured, and at any other when Lightning does.

    Attributes:
        monitor: name of the figure.
    """

    monitor: Any

    def look(self, trainer: L.Trainer) -> None:
        """Act on the figure, which is new."""
        raise NotImplementedError

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *rest: Any) -> None:
        """Look, if this step was measured; see `look_if_measured`."""
        if is_measured(self.monitor):
            self.look_if_measured(trainer)
        else:
            super().on_train_batch_end(trainer, module, *rest)

    def look_if_measured(self, trainer: L.Trainer) -> None:
        """Look at a figure that was measured at this very step, if it is such a one.

        Raises:
            ValueError: it is not among those that were measured.
        """
        if not is_measured(self.monitor) or not has_measured(trainer):
            return
        figures = trainer.callback_metrics
        if self.monitor not in figures:
            known = ", ".join(sorted(name for name in figures if is_measured(name) and not name.endswith(ERROR)))
            raise ValueError(f"figure={self.monitor}: is not measured; choose one of {known}")
        self.look(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """The end of an epoch measures nothing."""
        if not is_measured(self.monitor):
            super().on_train_epoch_end(trainer, module)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Nor does a validation."""
        if not is_measured(self.monitor):
            super().on_validation_end(trainer, module)


class BestCheckpoint(Watching, lightnings.ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, whose settings it takes; for figures of `Evaluation` too, see `Watching`."""

    def look(self, trainer: L.Trainer) -> None:
        """Save, if the figure is among the best."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def state_dict(self) -> dict[str, Any]:
        """Also at which step it saved last, which is not saved again by a run that goes on there."""
        return {**super().state_dict(), "saved_at": self._last_global_step_saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Know it again."""
        super().load_state_dict(state_dict)
        self._last_global_step_saved = state_dict["saved_at"]

    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        self._last_global_step_saved = trainer.global_step  # in what is saved as well
        super()._save_checkpoint(trainer, filepath)


class EarlyStopping(Watching, lightnings.EarlyStopping):
    """Lightning's `EarlyStopping`, whose settings it takes; for figures of `Evaluation` too, see `Watching`."""

    def look(self, trainer: L.Trainer) -> None:
        """End the run, if the figure has not got better for long."""
        self._run_early_stopping_check(trainer)


def require_measured(callbacks: Iterable[L.Callback], figure: str | None) -> None:
    """Refuse to watch, or to return, a figure of `Evaluation` in a run without it.

    Args:
        callbacks: of the run.
        figure: that the run returns.

    Raises:
        ValueError: naming the figure.
    """
    callbacks = list(callbacks)
    watched = [figure, *(each.monitor for each in callbacks if isinstance(each, Watching))]
    unknown = next(filter(is_measured, watched), None)
    if unknown is not None and not any(isinstance(each, Evaluation) for each in callbacks):
        raise ValueError(f"figure={unknown}: nothing measures it; add evaluation, as in callbacks=[default,evaluation]")
