"""Which of several processes this one is, and what they tell each other; with one process, all of it is trivial."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those of a job, which have joined (`torch.distributed`) if they are several.

    Attributes:
        rank: its number, from 0.
        world: how many there are.
        local_rank: its number on its host, which is that of its GPU.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process' every `world`-th of some items: all shares together are all of them, each once."""
        return items[self.rank :: self.world]

    def barrier(self) -> None:
        """Wait until all have come here."""
        if self.world > 1:
            from torch import distributed

            distributed.barrier()

    def gather(self, value: T) -> list[T]:
        """The values of all, in the order of ranks, to each."""
        if self.world == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.world
        distributed.all_gather_object(values, value)
        return values

    def first(self, value: T) -> T:
        """The value of the first, to each."""
        return self.gather(value)[0]


ALONE = Ranks()
"""One process."""


@dataclass(frozen=True)
class Launched:
    """What a launcher says to each of the processes that it started.

    Attributes:
        rank: of this one.
        world: how many in all.
        local_rank: of this one on its host.
        local_world: how many on its host.
        by: what started them: "torchrun" or "srun".
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    by: str

    @property
    def hosts(self) -> int:
        """On how many they are, if there are equally many on each."""
        return max(1, self.world // self.local_world)


def launched(environment: Mapping[str, str] = os.environ) -> Launched | None:
    """What torchrun or srun says of this process; None where it stands alone, as in a batch script without srun."""
    if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= environment.keys():
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        rank, world, local = (_number(environment, name) for name in names)
        size = environment.get("LOCAL_WORLD_SIZE", "")
        return Launched(rank, world, local, int(size) if size.isdecimal() else world, "torchrun")
    names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    if "SLURM_STEP_ID" not in environment or not set(names) <= environment.keys():
        return None
    if not environment["SLURM_STEP_ID"].isdecimal():  # "batch", "interactive": a script or a shell, no task of srun
        return None
    rank, world, local = (_number(environment, name) for name in names)
    nodes = environment.get("SLURM_STEP_NUM_NODES", "1")
    return Launched(rank, world, local, max(1, world // int(nodes) if nodes.isdecimal() else world), "srun")


def is_first() -> bool:
    """Whether this process is the one of its job that writes and tells, before any have joined."""
    found = launched()
    return found is None or found.rank == 0


def slurm_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """The number of the SLURM job that this process is in, the same after a requeue; ARRAY_TASK in an array."""
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array and task else environment.get("SLURM_JOB_ID", "")
    return job if re.fullmatch(r"\d+(_\d+)?", job) else None


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment[name]
    if not value.isdecimal():
        raise ValueError(f"{name}={value}: is what a launcher of several processes sets to a number; unset it")
    return int(value)
