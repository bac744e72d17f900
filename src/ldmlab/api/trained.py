"""What `ldmlab.train` gives: the folder of the run, its figures, and the model."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ldmlab.api.model import Model
from ldmlab.models.loading import load_model

METRICS = "metrics.csv"
MODEL = "model.safetensors"


@dataclass(frozen=True)
class Trained:
    """A run of training that has ended.

    Attributes:
        folder: everything that it wrote: checkpoints, `model.safetensors`, `metrics.csv`, pictures, its config.
        figure: the last value of the figure that `figure=` names, the loss on held-out pictures if not given; None
            where it was not logged.
    """

    folder: Path
    figure: float | None = None

    @property
    def ckpt(self) -> Path:
        """The file with the averaged weights, for `ldmlab.load` and `ckpt=`.

        Raises:
            ValueError: the run left none, as with `trainer.fast_dev_run=true`.
        """
        path = self.folder / MODEL
        if not path.is_file():
            raise ValueError(f"{self.folder}: the run left no {MODEL}")
        return path

    @cached_property
    def model(self) -> Model:
        """The trained model, ready to draw."""
        return Model(load_model(str(self.ckpt)), str(self.ckpt))

    @property
    def history(self) -> list[dict[str, float]]:
        """What was logged, a row for each step at which something was, counted from 0; empty without `logger=csv`."""
        path = self.folder / METRICS
        if not path.is_file():
            return []
        with open(path, newline="") as file:
            return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]

    @property
    def figures(self) -> dict[str, float]:
        """The last value of everything that was logged, by name."""
        last: dict[str, float] = {}
        for row in self.history:
            last |= row
        return last

    def __repr__(self) -> str:
        figure = "" if self.figure is None else f", figure {self.figure:.4g}"
        return f"<ldmlab run {self.folder}: {int(self.figures.get('step', -1)) + 1} steps{figure}>"
