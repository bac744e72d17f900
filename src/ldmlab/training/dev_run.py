"""Whether a run only tries itself out."""

from __future__ import annotations

import lightning as L


def is_dev_run(trainer: L.Trainer) -> bool:
    """Whether a Trainer has `fast_dev_run`: it leaves no checkpoint, no picture and no model."""
    return bool(getattr(trainer, "fast_dev_run", False))
