"""Whether a run would step its weights as the one before it did: the same optimizers, the same learning rates."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ldmlab.training.base import Training
from ldmlab.training.learning_rate import Schedule, scheduler_names
from ldmlab.training.optimizers import optimizer_names

FREE = {"params", "lr", "initial_lr", "fused", "foreach", "capturable", "differentiable"}
"""Settings of an optimizer that a run may go on with changed, or that do not change what it does."""


def require_same_stepping(module: Training, content: Mapping[str, Any], path: Path, steps: int) -> None:
    """Refuse where states would be taken over, and with them settings, whatever this run asks for.

    Args:
        module: to be trained on.
        content: of its checkpoint.
        path: of its checkpoint.
        steps: of the run in all.

    Raises:
        ValueError: it was trained with other optimizers, or schedulers, or settings of them.
    """
    optimizers = module.new_optimizers()
    try:
        _require_optimizers(optimizers, content)
        schedulers = module.new_schedulers(optimizers, steps)
        _require_schedulers(schedulers, content)
    except _OtherError as error:
        raise ValueError(f"ckpt_path={path}: was trained with {error}") from error


class _OtherError(ValueError):
    def __init__(self, what: str, then: Any, now: Any, fix: str) -> None:
        super().__init__(f"{what}{then}, this run has {now}; resume with the same {fix}")


def _require_optimizers(optimizers: list[Optimizer], content: Mapping[str, Any]) -> None:
    stored, names, now = content["optimizer_states"], content.get("optimizers"), optimizer_names(optimizers)
    if len(stored) != len(now) or (names is not None and names != now):
        then = ", ".join(names or [f"{len(stored)} optimizers"])
        raise _OtherError("", then, ", ".join(now), "optimizer")
    for optimizer, old in zip(optimizers, stored, strict=True):
        groups = optimizer.param_groups, old["param_groups"]
        if len(groups[0]) != len(groups[1]):
            raise _OtherError("", f"{len(groups[1])} groups of parameters", len(groups[0]), "training.decay_vectors")
        for group, settings in zip(*groups, strict=True):
            for name in sorted(settings.keys() - FREE):
                if name not in group or group[name] != settings[name]:
                    now_ = group.get(name, "no such setting")
                    raise _OtherError(f"optimizer.{name}=", settings[name], now_, "optimizer (lr may change)")


def _require_schedulers(schedulers: list[LRScheduler], content: Mapping[str, Any]) -> None:
    """Ours follow whatever shape and rate this run has, and were the only ones when checkpoints did not name them."""
    stored, now = content.get("lr_schedulers", []), scheduler_names(schedulers)
    names = content.get("schedulers", [f"{Schedule.__module__}.{Schedule.__qualname__}"] * len(stored))
    if names != now:
        raise _OtherError("", ", ".join(names), ", ".join(now), "scheduler")
    for scheduler, old in zip(schedulers, stored, strict=True):
        if isinstance(scheduler, Schedule):
            continue
        own = scheduler.state_dict()
        for name in [*inspect.signature(type(scheduler)).parameters, "base_lrs"]:
            if name in own and name in old and name != "last_epoch" and own[name] != old[name]:
                key = "optimizer.lr" if name == "base_lrs" else f"scheduler.{name}"
                raise _OtherError(f"{key}=", old[name], own[name], "scheduler")
