"""What callbacks log at the step of the losses that it belongs to: figures of that step alone, and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from PIL import Image

from ldmlab.metrics.scenes.confusion import PREFIX, confusions
from ldmlab.pictures.confusion import confusion_sheet
from ldmlab.pictures.png import write_png


def log_row(trainer: L.Trainer, figures: Mapping[str, float], step: int) -> None:
    """Hand figures of one step to all loggers. Lightning's own way would repeat them in later rows.

    Args:
        trainer: of the run.
        figures: by name.
        step: how many are done.
    """
    for logger in trainer.loggers:
        logger.log_metrics(dict(figures), step - 1)


def show(trainer: L.Trainer, kind: str, sheet: Image.Image, step: int) -> None:
    """Hand a picture to the loggers that take some.

    Args:
        trainer: of the run.
        kind: what it shows, the name of the panel.
        sheet: the picture.
        step: how many are done.
    """
    at = step - 1  # as Lightning counts: the first step's losses are at 0
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(kind, [sheet], step=at)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(kind, np.asarray(sheet), at, dataformats="HWC")


def show_confusion(trainer: L.Trainer, figures: Mapping[str, float], folder: Path, step: int) -> None:
    """Write what the verifier confuses as a picture, and hand it and its counts to loggers; nothing without any.

    Args:
        trainer: of the run.
        figures: among them those of a `SceneConfusion`.
        folder: where `step-NNNNNNN-confusion.png` goes; made where it is missing.
        step: how many are done.
    """
    found = confusions(figures)
    if not found:
        return
    sheet = confusion_sheet(found)
    folder.mkdir(parents=True, exist_ok=True)
    write_png(folder / f"step-{step:07d}-{PREFIX}.png", sheet)
    show(trainer, PREFIX, sheet, step)
    for logger in trainer.loggers:
        if chart := getattr(logger, "log_confusion", None):
            for name, matrix in found.items():
                chart(f"{PREFIX}/{name}", matrix, step - 1)
