"""How quickly cached latents are read, and what memory that takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import process_time

import numpy as np
from torch.utils.data import DataLoader

from data_bench.index import anonymous_memory
from data_bench.page import table
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.cached_dataset import CachedLatents, as_is
from ldmlab.data.latents.latent_cache import LatentCache
from ldmlab.data.latents.parts import Parts, record_of
from ldmlab.data.latents.variants import Variants
from ldmlab.data.order.batch_order import GlobalBatches
from ldmlab.data.writing.dataset_writer import write_shards
from ldmlab.worlds.shapes.dataset import ShapesSource

COUNTS = (10_000, 100_000)
BATCH, BATCHES = 256, 39
SHAPE = (8, 32, 32)
"""Means and deviations of 4 channels: those of 256 px pictures under the autoencoder of Stable Diffusion."""
CAPTIONED = 64


def section(folder: Path) -> str:
    """A table over how many samples there are, each measured in a process of its own."""
    rows = []
    for count in COUNTS:
        command = [sys.executable, "-m", "data_bench.latents", str(folder), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
        found = json.loads(done.stdout)
        rows.append(
            [f"{count:,}", f"{found['rate']:,.0f}", f"{found['memory'] / 1e6:.1f}", f"{found['bytes'] / 1e9:.2f}"]
        )
    head = ["samples", "latents a second of CPU", "MB of memory that reading adds", "GB on the disk"]
    note = f"Float16 moments of 4x32x32 latents with captions and keys, batches of {BATCH}, in the process that trains."
    return f"{table(head, rows)}\n\n{note}"


def measured(folder: Path, count: int) -> dict[str, float]:
    """Read batches in the order of training, and say how many latents a second of CPU, and what memory that added."""
    index = _captioned(folder, count)
    record = record_of({"row": ("i8", ()), "moments": ("f2", SHAPE)})
    parts = _written(Parts(folder / f"latents-{count}", record, count))
    os.sync()
    before = anonymous_memory(os.getpid())
    cached = CachedLatents(index, LatentCache(parts, Variants(count)))
    loader = DataLoader(cached, batch_sampler=GlobalBatches(count, BATCH), collate_fn=as_is)
    read, start = 0, process_time()
    for batch, _ in zip(loader, range(BATCHES), strict=False):
        read += len(batch["captions"])
    seconds = process_time() - start
    memory = anonymous_memory(os.getpid()) - before
    size = sum(parts.path(part).stat().st_size for part in range(len(parts)))
    return {"rate": read / seconds, "memory": memory, "bytes": size}


def _captioned(folder: Path, count: int) -> ShardIndex:
    """An index of so many samples, which repeats those of a few drawn pictures."""
    root = folder / "captioned"
    if not root.is_dir():
        write_shards(ShapesSource(image_size=16, train=CAPTIONED, heldout=1), root)
    return ShardIndex.build(root / "train").select(np.arange(count) % CAPTIONED)


def _written(parts: Parts) -> Parts:
    rng = np.random.default_rng(0)
    parts.folder.mkdir(parents=True, exist_ok=True)
    for part in parts.missing():
        records = np.zeros(len(parts.span(part)), parts.record)
        records["row"] = parts.span(part)
        records["moments"] = rng.standard_normal(records["moments"].shape, np.float32)
        parts.write(part, records)
    return parts


if __name__ == "__main__":
    print(json.dumps(measured(Path(sys.argv[1]), int(sys.argv[2]))))
