"""Metrics as a table in the run's folder."""

from __future__ import annotations

import csv
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter


def csv_logger(folder: str, flush_every_n_steps: int = 50) -> CSVLogger:
    """A logger that writes `metrics.csv`. A resumed run adds to it; Lightning's own would delete it.

    Args:
        folder: the run's output folder.
        flush_every_n_steps: how often rows reach the disk.
    """
    path = Path(folder) / "metrics.csv"
    earlier = path.read_text() if path.is_file() else ""
    logger = CSVLogger(folder, name="", version="", flush_logs_every_n_steps=flush_every_n_steps)
    writer = logger.experiment
    if earlier and isinstance(writer, ExperimentWriter):
        path.write_text(earlier)
        writer.metrics_keys = next(csv.reader(earlier.splitlines()))
    return logger
