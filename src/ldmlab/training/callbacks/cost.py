"""What a run costs: operations a second, how much of the GPU that is, memory, and waiting for data."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import PassThroughProfiler

from ldmlab.training.callbacks.beside import beside_training
from ldmlab.training.callbacks.throughput import Throughput, reduced
from ldmlab.training.data_wait import DataWait
from ldmlab.training.flops import is_adversarial, recomputed_flops, training_flops
from ldmlab.training.peak import TERA, arithmetic, peak_flops

log = logging.getLogger(__name__)
GIB = 2**30


@beside_training("the measure of cost")
class Cost(Throughput):
    """Logs beside `images_per_second`, as averages since it was last logged:

    - `cost/tflops`: operations of the model's training steps a second, 10^12 of them, see `training_flops`
    - `cost/mfu`: model FLOP utilisation, the share of what the GPUs are said to reach in the run's precision
    - `cost/data_wait`: the share of time spent waiting for batches
    - `cost/cpu_cores`: how many cores the training processes keep busy, without those that load data
    - `cost/memory_gib`, `cost/memory_reserved_gib`: the most that tensors, and PyTorch for them, have held on a GPU
    - `cost/host_memory_gib`: the most that a training process has held in main memory so far

    With several ranks `cost/tflops` and `cost/cpu_cores` are sums, `cost/mfu` is the mean, and the others are those of
    the rank that has most. What is not known is left out. Operations are counted when the first figures are due, and
    told to the loggers.
    """

    off_the_bar = frozenset({"cost/cpu_cores", "cost/host_memory_gib"})

    def __init__(self) -> None:
        super().__init__()
        self._flops: dict[bool, dict[str, int] | None] = {}
        self._peak: tuple[float | None] | None = None  # a tuple once it was looked up
        self._data = DataWait(PassThroughProfiler())
        self._waited = self._computed = self._before = 0.0

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Listen to when batches are waited for."""
        profiler = trainer.profiler  # type: ignore[attr-defined]
        self._data = profiler if isinstance(profiler, DataWait) else DataWait(profiler)
        trainer.profiler = self._data  # type: ignore[attr-defined]

    def begin(self, trainer: L.Trainer) -> None:
        """Waiting and computing count from here on, too."""
        self._waited, self._computed = self._data.seconds, time.process_time()

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
        figures |= self._used(trainer, module.device, seconds)
        self._waited, self._computed = self._data.seconds, time.process_time()
        if flops := self._count(module, batch, trainer.loggers):
            figures["cost/tflops"] = speed * flops / TERA
            if peak := self._find_peak(trainer, module.device):
                figures["cost/mfu"] = speed * flops / (peak * trainer.world_size)
        return figures

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Stop the clock of the processor, too."""
        super().on_validation_start(trainer, module)
        self._before = time.process_time()

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Let it run again."""
        super().on_validation_end(trainer, module)
        self._computed += time.process_time() - self._before

    def _used(self, trainer: L.Trainer, device: torch.device, seconds: float) -> dict[str, float]:
        """What is used of the machine, by all ranks together."""
        most = {
            "cost/data_wait": min(1.0, (self._data.seconds - self._waited) / seconds),
            "cost/host_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }
        if device.type == "cuda":
            most["cost/memory_gib"] = torch.cuda.max_memory_allocated(device) / GIB
            most["cost/memory_reserved_gib"] = torch.cuda.max_memory_reserved(device) / GIB
        together = {"cost/cpu_cores": (time.process_time() - self._computed) / seconds}
        return reduced(trainer, most, "max") | reduced(trainer, together, "sum")

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
