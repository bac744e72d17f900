"""What is random in training, as a pure function of the run's seed and the number of the batch in the run.

So it is the same from wherever a run goes on, and for a sample of a batch on however many processes it is trained.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import lightning as L
import numpy as np
import torch

from ldmlab.draws import Draws


def finished_batches(trainer: L.Trainer | None) -> int:
    """How many batches of the run are done: the number of the one that is trained on; 0 without a Trainer."""
    loop: Any = trainer and trainer.fit_loop
    return int(loop.epoch_loop.batch_progress.total.processed) if loop else 0


def step_draws(seed: int, batch: int, count: int, rank: int, world: int, device: torch.device) -> Draws:
    """The draws for one process' samples of a batch of training.

    PyTorch's own generators, for parts that draw without being given any, are seeded by the process' number as well.

    Args:
        seed: of the run.
        batch: its number in the run.
        count: samples of it that this process has, as many as each other one.
        rank: this process' number, which says which they are.
        world: how many processes there are.
        device: where the draws are wanted.
    """
    seed_generators(device, _first(seed, 1 + rank) + batch)
    generator = seeded_generator(device, _first(seed, 0) + batch)
    return Draws(count * world, slice(rank * count, (rank + 1) * count), generator)


def validation_draws(batch: int, count: int, full: int, rank: int, world: int, device: torch.device) -> Draws:
    """The draws for one process' samples of a batch of validation, the same at every validation.

    Args:
        batch: its number.
        count: samples of it that this process has: every `world`-th.
        full: how many it would have of a full batch.
        rank: this process' number.
        world: how many processes there are.
        device: where the draws are wanted.
    """
    rows = slice(rank, rank + world * count, world)
    return Draws(full * world, rows, seeded_generator(device, batch))


def seeded_generator(device: torch.device, seed: int) -> torch.Generator | None:
    """A new generator; None on a device that has no values, or is not there."""
    if device.type == "meta" or (device.type == "cuda" and not torch.cuda.is_available()):
        return None
    return torch.Generator(device).manual_seed(seed)


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed PyTorch's own generators of the CPU and of a device: `torch.manual_seed` without what it costs."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda" and torch.cuda.is_available():
        torch.cuda.manual_seed(seed)


@lru_cache(maxsize=64)
def _first(seed: int, stream: int) -> int:
    """From where a stream's seeds are counted, batch by batch: below 2^32, as the CPU's generator takes no more."""
    return int(np.random.SeedSequence([seed, stream]).generate_state(1)[0])
