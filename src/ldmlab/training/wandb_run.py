"""A W&B run that belongs to its folder."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger


class SteppedLogger(WandbLogger):
    """W&B's own `_step` is the trainer's. Counted by W&B, that of a resumed offline run would begin at 0 again."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row; what is logged at one step is one row."""
        row = dict(metrics) if step is None else {**metrics, "trainer/global_step": step}
        self.experiment.log(row, step=step)

    def note(self, facts: Mapping[str, Any]) -> None:
        """Put what is true of the whole run into its config."""
        self.experiment.config.update(dict(facts), allow_val_change=True)


def wandb_logger(
    folder: str, project: str = "ldmlab", group: str | None = None, name: str | None = None, offline: bool = True
) -> WandbLogger:
    """A logger whose run id follows from the output folder, so that a resumed or requeued job goes on in its own run.

    Args:
        folder: the run's output folder; the offline run is written into it.
        project: of W&B.
        group: runs shown together; the folder's parent if not given, which a sweep's jobs share.
        name: shown for the run; the folder's own name if not given.
        offline: write to disk only; `wandb sync` uploads later.
    """
    path = Path(folder).resolve()
    path.mkdir(parents=True, exist_ok=True)
    return SteppedLogger(
        name=name or path.name,
        save_dir=path,
        offline=offline,
        id=hashlib.sha256(str(path).encode()).hexdigest()[:16],
        project=project,
        group=group or path.parent.name,
    )


@contextmanager
def wandb_finished() -> Iterator[None]:
    """End the W&B run, if there is one, on every way out: as failed after an error."""
    exit_code = 1
    try:
        yield
        exit_code = 0
    finally:
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish(exit_code=exit_code)
