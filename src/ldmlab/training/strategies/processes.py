"""Whether the processes of a run are those that its Trainer asks for, and how several of them train together."""

from __future__ import annotations

import os
from typing import Any

import lightning as L

from ldmlab.ranks import ALONE, Ranks, launched
from ldmlab.training.strategies.ddp import DDP
from ldmlab.training.strategies.fsdp2 import FSDP2

MPI = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""What launchers say of the number of processes that start no ranks of ours."""


def strategy_of(settings: dict[str, Any]) -> Any:
    """Ours by name, `ddp` in the place of Lightning's also where `auto` is on several devices."""
    asked, devices = settings.get("strategy", "auto"), settings.get("devices", "auto")
    several = str(devices) not in ("1", "auto", "-1", "[0]") or settings.get("num_nodes", 1) != 1
    if asked == "fsdp2":
        return FSDP2()
    return DDP() if asked == "ddp" or (asked == "auto" and several) else asked


def require_no_mpi() -> None:
    """Raise ValueError where MPI alone has started several processes."""
    for name in MPI if launched() is None else ():
        if os.environ.get(name, "1").strip() not in ("", "0", "1"):
            raise ValueError(
                f"{name}={os.environ[name]}: these are processes of MPI, which do not train together; start them by "
                "torchrun or srun"
            )


def require_ranks(trainer: L.Trainer) -> None:
    """Raise ValueError unless there is a process for each device that a Trainer asks for, and no other."""
    found, world = launched(), trainer.num_devices * trainer.num_nodes
    asked = f"trainer.devices={trainer.num_devices} trainer.num_nodes={trainer.num_nodes}"
    if found is None and world > 1:
        raise ValueError(
            f"{asked}: {world} processes have to be started, and this is one; use `ldmlab train`, torchrun or srun"
        )
    if found is not None and found.world != world:
        raise ValueError(f"{asked}: {found.by} started {found.world} processes; ask for as many devices in all")


def join_ranks(trainer: L.Trainer) -> Ranks:
    """Let the processes of a run find each other, before training as in training; `ALONE` where it is one."""
    if trainer.world_size == 1:
        return ALONE
    trainer.strategy.setup_environment()
    return Ranks(trainer.global_rank, trainer.world_size, trainer.local_rank)
