"""What a run costs: operations a second, how much of the GPU that is, memory, and waiting for data."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import PassThroughProfiler

from ldmlab.training.callbacks.beside import beside_training
from ldmlab.training.callbacks.throughput import Throughput
from ldmlab.training.data_wait import DataWait
from ldmlab.training.flops import is_adversarial, recomputed_flops, training_flops
from ldmlab.training.peak import TERA, arithmetic, peak_flops

log = logging.getLogger(__name__)
GIB = 2**30


@beside_training("the measure of cost")
class Cost(Throughput):
    """Logs beside `images_per_second`, as averages since it was last logged:

    - `cost/tflops`: operations of the model's training steps a second, 10^12 of them, see `training_flops`
    - `cost/mfu`: model FLOP utilisation, the share of what the GPU is said to reach in the run's precision
    - `cost/data_wait`: the share of time spent waiting for batches
    - `cost/memory_gib`, `cost/memory_reserved_gib`: the most that tensors, and PyTorch for them, have held so far

    What is not known is left out. Operations are counted when the first figures are due, and told to the loggers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._flops: dict[bool, dict[str, int] | None] = {}
        self._peak: tuple[float | None] | None = None  # a tuple once it was looked up
        self._data = DataWait(PassThroughProfiler())
        self._waited = 0.0

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Listen to when batches are waited for."""
        profiler = trainer.profiler  # type: ignore[attr-defined]
        self._data = profiler if isinstance(profiler, DataWait) else DataWait(profiler)
        trainer.profiler = self._data  # type: ignore[attr-defined]

    def begin(self, trainer: L.Trainer) -> None:
        """Waiting counts from here on, too."""
        self._waited = self._data.seconds

    def figures(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, speed: float, seconds: float
    ) -> dict[str, float]:
        """The figures to log: `images_per_second` and, as far as they are known, those of cost.

        Args:
            trainer: of the run.
            module: what is trained.
            batch: the last one.
            speed: images a second.
            seconds: over which that is the average.
        """
        figures = super().figures(trainer, module, batch, speed, seconds)
        figures["cost/data_wait"] = min(1.0, (self._data.seconds - self._waited) / seconds)
        self._waited = self._data.seconds
        if flops := self._count(module, batch, trainer.loggers):
            figures["cost/tflops"] = speed * flops / TERA
            if peak := self._find_peak(trainer, module.device):
                figures["cost/mfu"] = speed * flops / peak
        if module.device.type == "cuda":
            figures["cost/memory_gib"] = torch.cuda.max_memory_allocated(module.device) / GIB
            figures["cost/memory_reserved_gib"] = torch.cuda.max_memory_reserved(module.device) / GIB
        return figures

    def _count(self, module: L.LightningModule, batch: Any, loggers: Sequence[Logger]) -> int | None:
        """Operations for one image, counted once, and once more when a discriminator joins in."""
        phase = is_adversarial(module)
        if phase not in self._flops:
            self._flops[phase] = parts = _counted(module, batch)
            if parts is not None:
                _tell(parts, recomputed_flops(module, parts), loggers)
        parts = self._flops[phase]
        return None if parts is None else sum(parts.values())

    def _find_peak(self, trainer: L.Trainer, device: torch.device) -> float | None:
        """The GPU's, looked up once."""
        if self._peak is None:
            name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
            numbers = arithmetic(str(trainer.precision))
            self._peak = (peak_flops(name, numbers),)
            if self._peak == (None,):
                log.info("cost/mfu is left out: nothing is known of the most that '%s' reaches in %s", name, numbers)
        return self._peak[0]


def _counted(module: L.LightningModule, batch: Any) -> dict[str, int] | None:
    try:
        return training_flops(module, batch)
    except Exception as error:  # a user's own network may do what tensors without data cannot
        log.warning("cost/tflops and cost/mfu are left out: operations cannot be counted (%s)", error)
        return None


def _tell(parts: dict[str, int], again: int, loggers: Sequence[Logger]) -> None:
    """In the log, and to loggers that note what is true of a whole run."""
    whole, by_part = sum(parts.values()), ", ".join(f"{name} {_giga(flops)}" for name, flops in parts.items())
    repeated = f"; activation checkpointing repeats {_giga(again)}" if again else ""
    log.info("training takes %s GFLOP an image: %s%s", _giga(whole), by_part, repeated)
    facts = {"flops_per_image": whole, "flops_per_image_by_part": parts, "recomputed_flops_per_image": again}
    for logger in loggers:
        if note := getattr(logger, "note", None):
            note(facts)


def _giga(flops: int) -> str:
    return f"{flops / 1e9:.4g}"
