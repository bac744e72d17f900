"""Processes that draw or measure together, joined by Lightning's Fabric as Trainers join those that train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from omegaconf import DictConfig

from ldmlab.progress import quiet_lightning
from ldmlab.ranks import ALONE, Ranks, launched

PATIENCE = timedelta(days=1)
"""How long a process waits for one that has more to do; those that die are seen at once."""


@contextmanager
def joined(cfg: DictConfig) -> Iterator[Ranks]:
    """The place of this process among those of a command with the keys `device`, `devices` and `num_nodes`."""
    found = launched()
    if found is None or found.world == 1:
        yield ALONE
        return
    from lightning.fabric import Fabric
    from lightning.fabric.strategies import DDPStrategy
    from torch import cuda, distributed

    quiet_lightning()
    on_gpu = cfg.device != "cpu" and cuda.is_available()
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    strategy = DDPStrategy(process_group_backend=backend, timeout=PATIENCE)
    accelerator = "gpu" if on_gpu else "cpu"
    fabric = Fabric(accelerator=accelerator, strategy=strategy, devices=cfg.devices, num_nodes=cfg.num_nodes)
    fabric.launch()
    try:
        yield Ranks(fabric.global_rank, fabric.world_size, fabric.local_rank)
    finally:
        distributed.destroy_process_group()
