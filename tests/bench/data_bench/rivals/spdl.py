"""SPDL: tars by its own parser, batches of pictures decoded and scaled by FFmpeg on threads, which its workers are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import spdl.io
from spdl.pipeline import PipelineBuilder

from data_bench.rivals import BATCH, SIDE, Batches

TITLE = "SPDL (threads)"
Pair = tuple[bytes, str]


def prepare(shards: Path, folder: Path) -> None:
    """Nothing: the tars are read as they are."""


def batches(shards: Path, folder: Path, workers: int) -> Batches:
    """In the order of the tars. Without workers, the same calls are made one after the other."""
    groups = _groups(shards)
    if not workers:
        yield from map(_load, groups)
        return
    stages = PipelineBuilder().add_source(groups).pipe(_load, concurrency=workers).add_sink(4)
    pipeline = stages.build(num_threads=workers)
    with pipeline.auto_stop():
        yield from pipeline.get_iterator()


def _groups(shards: Path) -> Iterator[list[Pair]]:
    """Full batches of files and captions."""
    group: list[Pair] = []
    for path in sorted(shards.glob("*.tar")):
        parts: dict[str, bytes] = {}
        with path.open("rb") as file:
            for name, content in spdl.io.iter_tarfile(file):
                parts[name.rpartition(".")[2]] = content
                if len(parts) == 3:
                    group.append((parts["jpg"], parts["txt"].decode()))
                    parts = {}
                if len(group) == BATCH:
                    yield group
                    group = []


def _load(group: list[Pair]) -> tuple:
    files, captions = zip(*group, strict=True)
    frames = spdl.io.load_image_batch(list(files), width=SIDE, height=SIDE, pix_fmt="rgb24")
    return spdl.io.to_torch(frames).permute(0, 3, 1, 2), list(captions)
