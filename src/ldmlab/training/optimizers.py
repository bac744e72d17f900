"""What identifies optimizers."""

from __future__ import annotations

from collections.abc import Iterable

from torch.optim import Optimizer


def optimizer_names(optimizers: Iterable[Optimizer]) -> list[str]:
    """The classes of optimizers by name, for checkpoints to be compared by."""
    return [f"{type(each).__module__}.{type(each).__qualname__}" for each in optimizers]
