"""An index of many samples costs its process no more than one of few: what is counted is memory, not seconds."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_bench.holes import NEEDS, store_selection, write_index
from ldmlab.data.index import column_files
from ldmlab.data.index.columns import CHUNK
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.shard_dataset import ShardDataset

FEW, MANY = 2 * CHUNK, 6 * CHUNK


@pytest.fixture(autouse=True)
def _are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small columns are read whole, and checked."""
    monkeypatch.setattr(column_files, "CHECKED_BYTES", 0)


def _peak(run: Callable[[], object]) -> int:
    """The most bytes that a call holds."""
    tracemalloc.start()
    try:
        held = run()
        peak = tracemalloc.get_traced_memory()[1]
        del held
        return peak
    finally:
        tracemalloc.stop()


def _index(root: Path, samples: int) -> ShardIndex:
    """An index of two shards."""
    return ShardIndex.build(write_index(root, samples, samples // 2), needs=NEEDS)


def test_opening_and_reading_hold_no_list_of_samples(tmp_path: Path) -> None:
    roots = [write_index(tmp_path / str(n), n, n // 2) for n in (FEW, 96 * MANY)]

    def run(root: Path) -> object:
        index = ShardIndex.build(root, needs=NEEDS)
        dataset = ShardDataset(index, 8)
        return index, dataset, [index[row] for row in (0, len(index) - 1)], index.fields.numbers("width", 5, 9)

    for root in roots:
        store_selection(root)
        run(root)
    few, many = (_peak(lambda root=root: run(root)) for root in roots)
    assert len(ShardIndex.build(roots[1], needs=NEEDS)) == 96 * MANY > 10**8
    assert many < few + 50_000


def test_choosing_samples_goes_chunk_by_chunk(tmp_path: Path) -> None:
    indexes = [_index(tmp_path / str(n), n) for n in (FEW, MANY)]

    def even(start: int, stop: int) -> np.ndarray:
        return np.arange(start, stop) % 2 == 0

    few, many = (_peak(lambda index=index: index.where("even", even)) for index in indexes)
    assert many < 1.2 * few
    assert _peak(lambda: indexes[1].where("even", even)) < 100_000, "it is mapped the next time"


def test_what_goes_to_a_worker_does_not_grow(tmp_path: Path) -> None:
    few, many = (len(pickle.dumps(ShardDataset(_index(tmp_path / str(n), n), 8).index)) for n in (FEW, MANY))
    assert many <= few + 100
