"""What ranks do in tests: modules of functions, which each process imports by name."""

from __future__ import annotations

import csv
import signal
from pathlib import Path
from typing import Any

import torch
from hydra import compose

from ldmlab.configs.compose import hydra_at_conf
from ldmlab.configs.training import train_from
from ldmlab.evaluation import samples
from ldmlab.ranks import Ranks
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.signals import STOP, Stopped


def train(*words: str) -> Any:
    """Train as `ldmlab train` does; the run's figure."""
    with hydra_at_conf("train"):
        cfg = compose("train", list(words))
    return train_from(cfg)


def train_an_autoencoder_in_float64(*words: str) -> Any:
    """As `train`, with everything that is computed in double precision, which runs never are."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    step = AutoencoderTraining.training_step

    def training_step(training: AutoencoderTraining, batch: dict[str, Any], index: int) -> None:
        return step(training, {**batch, "images": batch["images"].double()}, index)

    AutoencoderTraining.training_step = training_step  # type: ignore[method-assign]
    return train(*words)


def rows(folder: Path) -> list[dict[str, str]]:
    """Those of `metrics.csv`."""
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def train_until_one_rank_is_asked_to_stop(*words: str) -> str:
    """As `train`, with a signal that reaches the last rank alone when it has drawn pictures for a measurement."""
    draw = samples.sample

    def drawn(*arguments: Any, **settings: Any) -> Any:
        if not Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size()).is_first:
            STOP.take(signal.SIGTERM)
        return draw(*arguments, **settings)

    samples.sample = drawn  # type: ignore[attr-defined]
    try:
        with STOP.heeded():
            return str(train(*words))
    except Stopped as stop:
        return str(stop)
