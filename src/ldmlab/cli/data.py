"""`ldmlab data`: write a dataset as shards."""

from __future__ import annotations

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from ldmlab.data.dataset_writer import write_shards
from ldmlab.data.folder_lock import folder_lock
from ldmlab.progress import progress


def run(cfg: DictConfig) -> None:
    """Write what is not there yet and say what was done."""
    source, folder = instantiate(cfg.dataset), Path(cfg.data.path)
    with folder_lock(folder, "data.path"):
        print(write_shards(source, folder, cfg.shard_size, cfg.workers, progress))
