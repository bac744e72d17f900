"""An index of any size over shards that are not there: the columns of one shard, written as often as it takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ldmlab.data.index.column_files import open_columns, write_columns
from ldmlab.data.index.fitness import Fitness
from ldmlab.data.index.sample_table import SampleRow, SampleTable
from ldmlab.data.index.scan_file import HeldScan
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.shards.labels import NONE
from ldmlab.data.shards.shard_scan import ShardScan

SHARD = 10_000
"""Samples in a shard, as img2dataset writes."""
WORDS = ("red", "star", "beside", "small", "blue", "house", "on", "hill", "in", "evening", "sun")


def synthetic_index(folder: Path, samples: int) -> ShardIndex:
    """An index of samples with the json of LAION's, in whole shards; written unless it is there.

    Args:
        folder: of the columns, made anew.
        samples: how many, rounded up to shards.
    """
    if not folder.is_dir():
        scan = ShardScan(_table(), [], size=2**40)
        names = (f"{shard:06d}.tar" for shard in range(-(-samples // SHARD)))
        write_columns(folder, [HeldScan(scan, name, name) for name in names], "bench")
    columns = open_columns(folder, folder)
    needs = Needs()
    return ShardIndex(folder, columns, Fitness(columns, needs).select(), needs)


def _table() -> SampleTable:
    random = np.random.default_rng(0)
    return SampleTable.of([_row(random, number) for number in range(SHARD)])


def _row(random: np.random.Generator, number: int) -> SampleRow:
    caption = " ".join(random.choice(WORDS, random.integers(3, 13)))
    place, meta = (number * 2**20, 50_000), (number * 2**20 + 60_000, 900)
    return SampleRow(f"{number:09d}", caption, None, NONE, None, place, meta, 0, _fields(random))


def _fields(random: np.random.Generator) -> Mapping[str, Any]:
    scores = {
        "pwatermark": float(np.float32(random.beta(0.5, 0.8))),
        "punsafe": float(np.float32(random.beta(0.3, 5))),
        "AESTHETIC_SCORE": float(np.float32(random.normal(5, 0.8))),
        "similarity": float(np.float32(random.normal(0.31, 0.03))),
    }
    known = {name: value for name, value in scores.items() if random.random() < 0.98}
    width, height = random.integers(128, 2048, 2).tolist()
    language = str(random.choice(["en", "de", "fr", "es", "ru"]))
    return {"original_width": width, "original_height": height, "LANGUAGE": language, **known,
            "image_width": 256, "image_height": 256}  # fmt: skip
