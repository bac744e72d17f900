"""`python -m data_bench.one LOADER SHARDS FOLDER`: one loader in a process of its own, with 0, 1 and 2 workers.

Prints a line of JSON: images a second by number of workers.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from importlib import import_module
from pathlib import Path
from time import perf_counter

import torch

from data_bench.rivals import SIDE, Batches

WORKERS = (0, 1, 2)
WARM_UP = 4
"""Batches before the clock starts: then workers have started, and none is ahead of who waits for it."""


def main(name: str, shards: Path, folder: Path) -> None:
    """Measure."""
    torch.set_num_threads(1)
    rival = import_module(f"data_bench.rivals.{name}")
    rates = {workers: rate(rival.batches(shards, folder, workers)) for workers in WORKERS}
    print("\n" + json.dumps(rates), flush=True)
    os._exit(0)  # some leave threads behind


def rate(batches: Batches) -> float:
    """Images a second of an epoch, but for its first batches.

    Raises:
        ValueError: a batch is not what was asked for.
    """
    images, start = 0, 0.0
    for number, (pictures, captions) in enumerate(batches, 1):
        if pictures.shape != (len(captions), 3, SIDE, SIDE):
            raise ValueError(f"{tuple(pictures.shape)} with {len(captions)} captions")
        if number == WARM_UP:
            start = perf_counter()
        images += len(pictures) * (number > WARM_UP)
    return images / (perf_counter() - start)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
