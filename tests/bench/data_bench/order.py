"""What the order of a run costs: the first batch after a resume, wherever it is, at up to 400 million samples."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from torch.utils.data import Dataset

from data_bench.page import table
from ldmlab.data.order.batch_order import GlobalBatches
from ldmlab.data.order.buckets import Buckets
from ldmlab.data.order.loaders import ResumableLoader
from ldmlab.data.order.views import View

MILLIONS = (1, 10, 100, 400)
PLACES = {"the first": 0, "mid-epoch": 1953, "the last of an epoch": 3905, "of epoch 1000": 3_905_000}
"""Batches of a million samples."""
BATCH, WORKERS, TURNS, EPOCH = 256, (0, 2), 3, 100
SIZES = ((256, 320), (256, 256), (320, 256))


class Rows(Dataset[int]):
    """Samples that are their own numbers."""

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, view: View) -> int:
        return view.row


class Every(Rows):
    """Every third number, which stands for the mapped rows of a bucket."""

    def __init__(self, count: int, first: int) -> None:
        self._count, self._first = count // len(SIZES), first

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, places: np.ndarray) -> np.ndarray:  # type: ignore[override]
        return len(SIZES) * places + self._first


def section(folder: Path) -> str:
    """Two tables: seconds to the first batch after a resume, and what an order costs with more and more samples."""
    return f"{resumed()}\n\n{scaled()}"


def resumed() -> str:
    """Seconds from a new loader to its first batch, by the batch that a run goes on with."""
    rows = [[name, *(f"{_seconds(start, workers):.3f}" for workers in WORKERS)] for name, start in PLACES.items()]
    head = ["goes on with", *(f"s to it, {workers} workers" for workers in WORKERS)]
    text = f"A loader of 1 million samples, from nothing to its first batch of {BATCH} (the least of {TURNS} turns):"
    return f"{text}\n\n{table(head, rows)}"


def _seconds(start: int, workers: int) -> float:
    return min(_once(start, workers) for _ in range(TURNS))


def _once(start: int, workers: int) -> float:
    begun = perf_counter()
    batches = GlobalBatches(10**6, BATCH, start=start, flip=0.5, random_crops=True)
    next(iter(ResumableLoader(Rows(), batches, list, workers)))
    return perf_counter() - begun


def scaled() -> str:
    """Time and memory of an order, with and without buckets."""
    rows = [[f"{millions} million", *_cost(millions * 10**6)] for millions in MILLIONS]
    kinds = ("squares", "buckets")
    head = ["samples", *(f"{what}, {kind}" for kind in kinds for what in ("ms to begin", "us a batch", "MB"))]
    text = f"Batches of {BATCH} from mid-epoch on, with flips and random crops: CPU time, and the memory at most:"
    return f"{text}\n\n{table(head, rows)}"


def _cost(samples: int) -> list[str]:
    rows = tuple(Every(samples, first) for first in range(len(SIZES)))
    return [figure for buckets in (None, Buckets(SIZES, rows)) for figure in _figures(samples, buckets)]


def _figures(samples: int, buckets: Buckets | None) -> list[str]:
    begin = process_time()
    batches = GlobalBatches(samples, BATCH, start=samples // BATCH // 2, flip=0.5, random_crops=True, buckets=buckets)
    batches.batch(batches.start)
    begun = process_time()
    for number in range(EPOCH):
        batches.batch(batches.start + number)
    each = (process_time() - begun) / EPOCH
    return [f"{1e3 * (begun - begin):.1f}", f"{1e6 * each:.0f}", f"{_memory(samples, buckets) / 1e6:.1f}"]


def _memory(samples: int, buckets: Buckets | None) -> int:
    tracemalloc.start()
    try:
        batches = GlobalBatches(samples, BATCH, buckets=buckets)
        for number in range(EPOCH):
            batches.batch(number)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
