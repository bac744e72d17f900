"""The learning rate over a run: any of PyTorch's schedulers, and ours, which begin with a linear warm-up."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

INTERVALS = ("step", "epoch")
LENGTHS = ("total_steps", "T_max")
"""Arguments by which schedulers take the length of the run: PyTorch's OneCycleLR, and its CosineAnnealingLR."""
LEAST = 1e-8
"""A rate of 0 would make the last step for nothing."""

Factor = Callable[[int], float]


class Schedule(LambdaLR):
    """Restored from a checkpoint it keeps its place, but follows the learning rate and the shape of the new run."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Called after the optimizer's state is restored, whose learning rates it replaces."""
        rates = self.base_lrs
        super().load_state_dict(state_dict)
        self.base_lrs = rates
        self._last_lr = [rate * factor(self.last_epoch) for rate, factor in zip(rates, self.lr_lambdas, strict=True)]
        for group, rate, now in zip(self.optimizer.param_groups, rates, self._last_lr, strict=True):
            group["initial_lr"], group["lr"] = rate, now


def constant(optimizer: Optimizer, warmup_steps: int = 0) -> Schedule:
    """The optimizer's rate after a linear warm-up.

    Args:
        optimizer: whose rate it is.
        warmup_steps: over which the rate rises in equal parts; 0 for none.
    """
    return Schedule(optimizer, _warmed_up(warmup_steps, lambda step: 1.0))


def linear(optimizer: Optimizer, total_steps: int, warmup_steps: int = 0) -> Schedule:
    """A straight fall to nothing at the run's last step, after a linear warm-up.

    Args:
        optimizer: whose rate it is.
        total_steps: length of the run, with the warm-up.
        warmup_steps: see `constant`.

    Raises:
        ValueError: the run is over before the warm-up, or has no end.
    """
    progress = _progress(warmup_steps, total_steps, "linear")
    return Schedule(optimizer, _warmed_up(warmup_steps, lambda step: max(1 - progress(step), LEAST)))


def cosine(optimizer: Optimizer, total_steps: int, warmup_steps: int = 0) -> Schedule:
    """Half a cosine to nothing at the run's last step (Loshchilov & Hutter 2017, without restarts).

    Args and Raises as in `linear`.
    """
    progress = _progress(warmup_steps, total_steps, "cosine")

    def falling(step: int) -> float:
        return max(0.5 * (1 + math.cos(math.pi * progress(step))), LEAST)

    return Schedule(optimizer, _warmed_up(warmup_steps, falling))


def _warmed_up(warmup_steps: int, after: Factor) -> Factor:
    return lambda step: (step + 1) / warmup_steps if step < warmup_steps else after(step)


def _progress(warmup_steps: int, total_steps: int, name: str) -> Factor:
    """From 0 at the end of the warm-up to 1 at the end of the run."""
    if total_steps <= warmup_steps:
        raise ValueError(
            f"trainer.max_steps={total_steps} must be above scheduler.warmup_steps={warmup_steps} for scheduler={name}"
        )
    return lambda step: min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)


@dataclass(frozen=True)
class LearningRate:
    """Which scheduler a training has, and when it is stepped.

    Attributes:
        make: from an optimizer to a scheduler. Where it has an argument `total_steps` or `T_max` that is not given, it
            gets the run's length, as `cosine` and PyTorch's OneCycleLR need it.
        interval: stepped after each "step" of the optimizer, or after the last one of an "epoch"; ReduceLROnPlateau
            is stepped after each validation instead.
        frequency: of so many steps or epochs, the last.
        monitor: the logged figure that ReduceLROnPlateau looks at.

    Raises:
        ValueError: another interval, a frequency below 1.
    """

    make: Callable[..., LRScheduler] = constant
    interval: str = "step"
    frequency: int = 1
    monitor: str | None = None

    def __post_init__(self) -> None:
        if self.interval not in INTERVALS:
            raise ValueError(f"scheduler.interval={self.interval}: choose one of {', '.join(INTERVALS)}")
        if self.frequency < 1:
            raise ValueError(f"scheduler.frequency={self.frequency}: give 1 or more")

    def schedule(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """The scheduler of an optimizer, in a run of so many steps.

        Raises:
            ValueError: an argument that it does not take, or that does not go with the run.
        """
        made, given = (self.make.func, self.make.keywords) if isinstance(self.make, partial) else (self.make, {})
        taken = inspect.signature(made).parameters
        length = {name: steps for name in LENGTHS if name in taken and given.get(name) is None}
        try:
            scheduler = self.make(optimizer, **length)
        except TypeError as error:
            raise ValueError(f"scheduler: {error}") from error
        if isinstance(scheduler, ReduceLROnPlateau) and self.monitor is None:
            raise ValueError("scheduler.monitor=null: name the logged figure that it looks at, for example val/loss")
        return scheduler

    def step(self, schedulers: Iterable[LRScheduler], step: int, epoch: int, ends_epoch: bool) -> None:
        """After a step of the optimizer.

        Args:
            schedulers: to be stepped where it is time.
            step: how many steps are done.
            epoch: how many epochs, with this one.
            ends_epoch: whether that was the epoch's last step.
        """
        due = step % self.frequency == 0 if self.interval == "step" else ends_epoch and epoch % self.frequency == 0
        for scheduler in schedulers if due else ():
            if not isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step()

    def look(self, schedulers: Iterable[LRScheduler], figures: Mapping[str, Any]) -> None:
        """After a validation, with all figures that were logged.

        Raises:
            ValueError: the one to monitor is not among them.
        """
        for scheduler in schedulers:
            if isinstance(scheduler, ReduceLROnPlateau):
                if self.monitor not in figures:
                    known = ", ".join(sorted(figures))
                    raise ValueError(f"scheduler.monitor={self.monitor}: is not logged; choose one of {known}")
                scheduler.step(float(figures[str(self.monitor)]))


def scheduler_names(schedulers: Iterable[LRScheduler]) -> list[str]:
    """Their classes, which identify them."""
    return [f"{type(each).__module__}.{type(each).__qualname__}" for each in schedulers]
