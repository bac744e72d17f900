"""What `ldmlab.train` gives: the folder of the run, its figures, and the model."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ldmlab.api.model import Model
from ldmlab.models.loading import load_model
from ldmlab.training.export import ADAPTER, MODEL

METRICS = "metrics.csv"


@dataclass(frozen=True)
class Trained:
    """A run of training that has ended.

    Attributes:
        folder: everything that it wrote: checkpoints, `model.safetensors`, `metrics.csv`, pictures, its config.
        figure: the last value of the figure that `figure=` names, the loss on held-out pictures if not given; None
            where it was not logged.
        base: what the user called the model that an adapter was trained on; None for a run that trained no adapter.
    """

    folder: Path
    figure: float | None = None
    base: str | None = None

    @property
    def ckpt(self) -> Path:
        """The file with the averaged weights, for `ldmlab.load` and `ckpt=`; those of an adapter for `adapter_ckpt=`.

        Raises:
            ValueError: the run left none, as with `trainer.fast_dev_run=true`.
        """
        path = self.folder / (MODEL if self.base is None else ADAPTER)
        if not path.is_file():
            raise ValueError(f"{self.folder}: the run left no {path.name}")
        return path

    @cached_property
    def model(self) -> Model:
        """The trained model, ready to draw; where an adapter was trained, its base with it."""
        file = str(self.ckpt)
        if self.base is not None:
            return Model(load_model(self.base, adapter_ckpt=file), self.base)
        return Model(load_model(file), file)

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
