"""What is told when a run ends: why before its last step, which checkpoints were the best, and its figure."""

from __future__ import annotations

import logging

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer

from ldmlab.training.dev_run import is_dev_run
from ldmlab.training.resume import Start

log = logging.getLogger(__name__)


def tell_of_an_early_end(trainer: L.Trainer, start: Start | None) -> None:
    """Say why a run has ended before its last step, if it has.

    Args:
        trainer: after training.
        start: where the run went on; None where it began.

    Raises:
        ValueError: it has not trained at all, and has no checkpoint.
    """
    steps, last = trainer.global_step, trainer.max_steps
    if is_dev_run(trainer) or steps >= last >= 0:
        return
    why = _why(trainer)
    if not (start.own if start else steps):
        raise ValueError(f"nothing was trained: {why}")
    log.warning("the run ends at step %d%s: %s", steps, f" of {last}" if last >= 0 else "", why)


def _why(trainer: L.Trainer) -> str:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EarlyStopping) and callback.stopping_reason_message and trainer.should_stop:
            return callback.stopping_reason_message.removesuffix(" Signaling Trainer to stop.")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and (callback.time_remaining() or 0) <= 0:
            given = getattr(trainer, "max_time", None)
            what = f"trainer.max_time={given}" if given is not None else "the time of the callback `timer`"
            return f"{what} is over; ckpt_path=auto with the same output_dir goes on"
    if trainer.limit_train_batches == 0:
        return f"trainer.limit_train_batches={trainer.limit_train_batches} leaves no batch"
    return "a callback asked for it" if trainer.should_stop else "there is no further batch"


def tell_of_the_best(trainer: L.Trainer) -> None:
    """Name the checkpoints that were kept for a figure, the best first."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor is not None:
            ranked = sorted(callback.best_k_models.items(), key=lambda each: float(each[1]))
            for path, score in ranked if callback.mode == "min" else reversed(ranked):
                print(f"best: {path} ({callback.monitor} {float(score):.4g})")


def last_figure(trainer: L.Trainer, name: str | None) -> float | None:
    """The last value of a logged figure; None where there is none of that name, which is told if others are there."""
    figures = trainer.callback_metrics
    if name in figures:
        return float(figures[name])
    if name is not None and any(each.startswith(("val/", "eval/")) for each in figures):
        log.warning("figure=%s: was not logged; choose one of %s", name, ", ".join(sorted(figures)))
    return None
