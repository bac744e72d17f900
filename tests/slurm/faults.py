"""A callback of the tests' own: something goes wrong on one rank."""

from __future__ import annotations

import os
import resource
import signal
from typing import Any

import lightning as L
import torch


class Fault(L.Callback):
    """A fault in the middle of a run.

    Args:
        kind: "memory", "disk" or "kill".
        rank: on which.
        step: at which.
    """

    def __init__(self, kind: str, rank: int, step: int = 12) -> None:
        self.kind, self.rank, self.step = kind, rank, step

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Let it happen, on that rank at that step."""
        if (trainer.global_rank, trainer.global_step) != (self.rank, self.step):
            return
        if self.kind == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
