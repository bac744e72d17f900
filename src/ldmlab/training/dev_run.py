"""Runs that only try themselves out."""

from __future__ import annotations

import lightning as L


def is_dev_run(trainer: L.Trainer) -> bool:
    """Whether a Trainer has `fast_dev_run`: it leaves no checkpoint, no picture and no model."""
    return bool(getattr(trainer, "fast_dev_run", False))


def run_length(trainer: L.Trainer) -> int:
    """Steps that learning rates are made for: of a run that only tries itself out, those of the run that it tries."""
    whole = getattr(trainer, "asked_steps", -1)
    return whole if is_dev_run(trainer) and whole >= 0 else trainer.max_steps
