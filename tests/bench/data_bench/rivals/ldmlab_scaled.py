"""ldmlab with `data.scaled_decoding=true`: other pixels, so it is told apart."""

from __future__ import annotations

from pathlib import Path

from data_bench.rivals import Batches, ldmlab
from data_bench.rivals.ldmlab import prepare as prepare

TITLE = "ldmlab, scaled decoding"


def batches(shards: Path, folder: Path, workers: int) -> Batches:
    """An epoch of training."""
    return ldmlab.batches(shards, folder, workers, scaled=True)
