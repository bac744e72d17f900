"""Writes a data set as the config of `ldmlab data` says."""

from __future__ import annotations

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from ldmlab.data.folder_lock import folder_lock
from ldmlab.data.sample_source import Fetched
from ldmlab.data.writing.dataset_writer import write_shards
from ldmlab.progress import progress


def write_from(cfg: DictConfig) -> str:
    """Write or fetch what is not there yet; return what was done, in words.

    Args:
        cfg: whole; `data.path` is the folder of the shards.

    Raises:
        ValueError: bad input.
    """
    source, folder = instantiate(cfg.dataset), Path(cfg.data.path)
    with folder_lock(folder, "data.path"):
        if isinstance(source, Fetched):
            return str(source.fetch(folder, cfg.shard_size, cfg.workers, progress))
        return str(write_shards(source, folder, cfg.shard_size, cfg.workers, progress))
