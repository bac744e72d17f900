"""Audits a data set as the config of `ldmlab audit` says."""

from __future__ import annotations

from functools import partial

from omegaconf import DictConfig

from ldmlab.configs.filters import build_filter
from ldmlab.data.audit import audit
from ldmlab.data.shards.depth import Depth
from ldmlab.data.shards.parquet import can_read_parquet
from ldmlab.progress import track

NO_PARQUET = "the parquet files were not looked at: they are compared with pip install 'ldmlab[laion]'"


def audit_from(cfg: DictConfig) -> str:
    """Look at the shards; return what was found, in words.

    Args:
        cfg: whole.

    Raises:
        ValueError: bad input.
    """
    depth = Depth(cfg.checksums, cfg.decode, can_read_parquet())
    reading = partial(track, what="auditing shards")
    found = audit(cfg.data.path, cfg.workers, depth, cfg.data.on_bad_shard, build_filter(cfg), cfg.report, reading)
    if not depth.parquet and any(next(each.index.root.glob("*.parquet"), None) for each in found.folders):
        return f"{found}\n{NO_PARQUET}"
    return str(found)
