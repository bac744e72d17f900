"""What ranks do in tests: modules of functions, which each process imports by name."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from hydra import compose

from ldmlab.configs.compose import hydra_at_conf
from ldmlab.configs.training import train_from


def train(*words: str) -> Any:
    """Train as `ldmlab train` does; the run's figure."""
    with hydra_at_conf("train"):
        cfg = compose("train", list(words))
    return train_from(cfg)


def rows(folder: Path) -> list[dict[str, str]]:
    """Those of `metrics.csv`."""
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))
