"""The learning rate over a run: linear warm-up, then constant or a cosine to zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim.lr_scheduler import LambdaLR

DECAYS = ("constant", "cosine")


def learning_rate_factor(warmup_steps: int, total_steps: int, decay: str) -> Callable[[int], float]:
    """Return factor(step) in (0, 1], for `torch.optim.lr_scheduler.LambdaLR`.

    Raises:
        ValueError: the decay is not known, or a cosine has no end.
    """
    if decay not in DECAYS:
        raise ValueError(f"learning_rate_decay={decay}: choose one of {', '.join(DECAYS)}")
    if decay == "cosine" and total_steps <= warmup_steps:
        raise ValueError(
            f"trainer.max_steps={total_steps} must be above warmup_steps={warmup_steps} for learning_rate_decay=cosine"
        )

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if decay == "constant":
            return 1.0
        progress = (step - warmup_steps) / (total_steps - warmup_steps)
        return max(0.5 * (1 + math.cos(math.pi * min(progress, 1.0))), 1e-8)

    return factor


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
