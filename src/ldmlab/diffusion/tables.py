"""Tables of a process where the model is, so that a step looks nothing up on the CPU.

Shapes: B batch, T timesteps of the schedule, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor, nn

from ldmlab.diffusion.schedules import NoiseSchedule, nearest_timesteps
from ldmlab.types import Level


class Tables(nn.Module):
    """Float64 tables that follow a model from device to device, in no state dict.

    Wherever the model goes they are made anew from those on the CPU: nothing that is done to its weights on the way
    (`model.to(torch.bfloat16)`, `to_empty`) is done to them. What is asked on the CPU, as by a sampler's levels, is
    answered there.

    Args:
        tables: by name, on the CPU.
    """

    def __init__(self, tables: Mapping[str, Shaped[Tensor, "..."]]) -> None:
        super().__init__()
        self._made = dict(tables)
        self._here = self._made

    def beside(self, tensor: Tensor) -> dict[str, Tensor]:
        """The tables on the device of a tensor. Where the model has not gone there, they go once and stay."""
        if tensor.device.type == "cpu":
            return self._made
        self._go(tensor)
        return self._here

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self._go(fn(_any(self._here).new_empty(0)))  # where they are, so that a cast leaves them there
        return super()._apply(fn, recurse)

    def _go(self, place: Tensor) -> None:
        """To the device of a tensor, if they are not there."""
        if place.device != _any(self._here).device:
            kind = torch.float32 if place.device.type == "mps" else torch.float64  # the former has no float64
            self._here = {
                name: place.new_empty(table.shape, dtype=kind).copy_(table) for name, table in self._made.items()
            }


def bring_tables(model: nn.Module, weight: Tensor) -> None:
    """Bring the tables in a model to where a weight of it is."""
    for part in model.modules():
        if isinstance(part, Tables):
            part.beside(weight)


def _any(tables: Mapping[str, Tensor]) -> Tensor:
    return next(iter(tables.values()))


class LevelTable(Tables):
    """The levels of a schedule's timesteps and the clean one, on the model's device.

    Args:
        schedule: the noise schedule whose levels they are.
    """

    def __init__(self, schedule: NoiseSchedule) -> None:
        level = schedule.level(torch.cat([torch.arange(len(schedule)), torch.tensor([-1])]))
        super().__init__({"alpha": level.alpha, "sigma": level.sigma, "rising": schedule.rising_log_snr()})

    def level(self, timesteps: Int[Tensor, "*shape"]) -> Level:
        """The noise levels of integer timesteps in [0, T), where these are; -1 is the clean level."""
        tables = self.beside(timesteps)
        return Level(tables["alpha"].take(timesteps), tables["sigma"].take(timesteps))

    def timesteps(self, level: Level) -> Int[Tensor, "*shape"]:
        """The timesteps whose log-SNR is nearest to the given levels', where these are."""
        return nearest_timesteps(self.beside(level.alpha)["rising"], level)
