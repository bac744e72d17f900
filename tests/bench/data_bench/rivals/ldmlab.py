"""ldmlab: what `ldmlab train` reads from, in its order, flips aside."""

from __future__ import annotations

from pathlib import Path

from data_bench.rivals import BATCH, SIDE, Batches
from ldmlab.data.datamodule import ShardDataModule

TITLE = "ldmlab"


def prepare(shards: Path, folder: Path) -> None:
    """Index the tars, as a run does before its first step."""
    ShardDataModule(shards, BATCH, SIDE).setup("fit")


def batches(shards: Path, folder: Path, workers: int, scaled: bool = False) -> Batches:
    """An epoch of training."""
    data = ShardDataModule(shards, BATCH, SIDE, num_workers=workers, scaled_decoding=scaled)
    data.setup("fit")
    for batch in data.train_dataloader():
        yield batch["images"], batch["captions"]
