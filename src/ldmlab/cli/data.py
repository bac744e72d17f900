"""`ldmlab data`: write a dataset as shards."""

from __future__ import annotations

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from ldmlab.data.folder_lock import folder_lock
from ldmlab.data.shards import write_shards
from ldmlab.progress import progress


def run(cfg: DictConfig) -> None:
    """Write what is not there yet and say what was done."""
    source = instantiate(cfg.dataset)
    with folder_lock(Path(cfg.path), "path"):
        report = write_shards(source, Path(cfg.path), cfg.shard_size, cfg.workers, progress)
    counts = ", ".join(f"{count} {split}" for split, count in report.counts.items())
    print(
        f"{report.root}: {counts} samples; {report.written} shards written, {report.kept} kept, "
        f"in {report.seconds:.1f} s"
    )
