"""Indexes of any size that take no room: files with holes, which read as zeros, in place of shards and columns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ldmlab.data.index import column_files
from ldmlab.data.index.columns import FOLDER, Shard
from ldmlab.data.index.fitness import Fitness
from ldmlab.data.index.joining import Joined
from ldmlab.data.index.npy_file import NpyWriter
from ldmlab.data.index.sample_table import NUMBERS
from ldmlab.data.index.selection import name_of
from ldmlab.data.index.stamps import digest, stamps
from ldmlab.data.needs import Needs
from ldmlab.data.shards.depth import Depth
from ldmlab.data.shards.shard_scan import MAX_PIXELS

NEEDS = Needs(captions=False)
SHARD_BYTES = 2**28
FIELDS = ("width", "height", "punsafe", "aesthetic")


def write_index(root: Path, samples: int, per_shard: int = 10_000) -> Path:
    """An index of so many samples without keys or captions, each an empty picture at the begin of its shard.

    Args:
        root: the folder of shards, made anew.
        samples: a multiple of `per_shard`.
        per_shard: samples of a shard; LAION has 10,000.
    """
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    names = [f"{number:06d}.tar" for number in range(samples // per_shard)]
    for name in names:
        with open(root / name, "wb") as file:
            file.truncate(SHARD_BYTES)
    looked = stamps(root, names, MAX_PIXELS)
    folder = root / FOLDER / "columns" / digest(looked)
    folder.mkdir(parents=True)
    shards = tuple(Shard(each.name, each.size, each.time, per_shard) for each in looked)
    joined = Joined(shards, dict.fromkeys(FIELDS, ()), {}, Depth(), ())
    columns: dict[str, tuple[Any, tuple[int, ...], int]] = {
        **{name: (dtype, shape, samples) for name, (dtype, shape) in NUMBERS.items()},
        **{f"{name}_blob": (np.uint8, (), 0) for name in column_files.TEXTS},
        **{f"{name}_ends": (np.int64, (), samples if name != "lines" else 0) for name in column_files.TEXTS},
        **{f"field_{number}_kinds": (np.uint8, (), samples) for number in range(len(FIELDS))},
        **{f"field_{number}_values": (np.float32, (), samples) for number in range(len(FIELDS))},
    }
    for name, (dtype, shape, rows) in columns.items():
        with open(folder / f"{name}.npy", "xb") as file:
            writer = NpyWriter(file, dtype, shape)
            writer.rows = rows
            begin = file.tell()
            writer.finish(sync=False)
            file.truncate(begin + writer.size)
    sums = {name: _crc32(folder, name) if samples <= 10**6 else 0 for name in columns}
    (folder / column_files.FACTS).write_text(json.dumps(column_files._facts_to(joined, sums)))
    return root


def _crc32(folder: Path, name: str) -> int:
    return column_files._crc32(np.load(folder / f"{name}.npy"))


def store_selection(root: Path) -> None:
    """Say of all samples that they have what `NEEDS` asks for, which the first start finds out in time that grows."""
    [folder] = (root / FOLDER / "columns").iterdir()
    columns = column_files.open_columns(folder, root)
    recipe = Fitness(columns, NEEDS).recipe
    facts = {"recipe": recipe, "all": True, "count": len(columns), "tallies": [], "note": None}
    path = folder / f"{name_of(recipe)}.json"
    path.write_text(json.dumps(facts | {"fingerprint": "0" * 64, "labels": "0" * 64}))
