"""Speed in images a second, from step to step of the log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch

from ldmlab.training.callbacks.beside import beside_training


@beside_training("the measure of speed")
class Throughput(L.Callback):
    """Logs `images_per_second` over all ranks, averaged over the steps since it was last logged.

    The clock stands still while a run validates. It is read on the host, and no step waits for the GPU because of it:
    the host runs ahead by less than a step or two, of the `trainer.log_every_n_steps` between two readings.

    Attributes:
        off_the_bar: names of figures that a progress bar has no room for.
    """

    off_the_bar: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._since: tuple[int, float] | None = None
        self._paused = 0.0

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        """Measure at every logged step."""
        step, now = trainer.global_step, time.perf_counter()
        if self._since is None:
            if (batch_index + 1) % trainer.accumulate_grad_batches:
                return  # in the middle of a step
            self.begin(trainer)
        elif is_logged(trainer, step) and step > self._since[0]:
            steps, seconds = step - self._since[0], now - self._since[1]
            speed = steps * _images_of_a_step(trainer, batch) / seconds
            figures = self.figures(trainer, module, batch, speed, seconds)
            for name, value in figures.items():
                on_host = torch.tensor(value)  # which Lightning looks at in every step
                module.log(name, on_host, prog_bar=name not in self.off_the_bar, batch_size=1)
        else:
            return
        self._since = step, time.perf_counter()

    def begin(self, trainer: L.Trainer) -> None:
        """The first step is done, which is none of what is measured."""

    def figures(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, speed: float, seconds: float
    ) -> dict[str, float]:
        """The figures to log, by name.

        Args:
            trainer: of the run.
            module: what is trained.
            batch: the last one.
            speed: images a second.
            seconds: over which that is the average.
        """
        return {"images_per_second": speed}

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Stop the clock."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Let the clock run again."""
        if self._since is not None:
            self._since = self._since[0], self._since[1] + time.perf_counter() - self._paused


@contextmanager
def clocks_stopped(trainer: L.Trainer, module: L.LightningModule) -> Iterator[None]:
    """Inside the block, measures of speed stand still: what is done there is no training."""
    clocks = [each for each in getattr(trainer, "callbacks", ()) if isinstance(each, Throughput)]
    for clock in clocks:
        clock.on_validation_start(trainer, module)
    try:
        yield
    finally:
        for clock in clocks:
            clock.on_validation_end(trainer, module)


def reduced(trainer: L.Trainer, figures: dict[str, float], how: str) -> dict[str, float]:
    """Figures of all ranks as one each, where there are several, who then wait for each other.

    Args:
        trainer: of the run.
        figures: the same names on every rank.
        how: "sum" or "max".
    """
    if trainer.world_size == 1:
        return figures
    values = torch.tensor(list(figures.values()), device=trainer.strategy.root_device)
    return dict(zip(figures, trainer.strategy.reduce(values, reduce_op=how).tolist(), strict=True))


def is_logged(trainer: L.Trainer, step: int) -> bool:
    """Whether a row of figures is due after so many steps."""
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return every > 0 and step % every == 0


def _images_of_a_step(trainer: L.Trainer, batch: Mapping[str, Any]) -> int:
    """Of all ranks together."""
    of_a_batch = len(batch["moments"] if "moments" in batch else batch["images"])
    return of_a_batch * trainer.world_size * trainer.accumulate_grad_batches
