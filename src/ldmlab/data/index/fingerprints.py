"""What identifies the samples of an index, computed in chunks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.columns import CHUNK, Columns
from ldmlab.data.index.text_column import TextColumn

Rows = NDArray[np.int64] | None


def fingerprint(columns: Columns, rows: Rows) -> str:
    """sha256 over the shards' names and sizes, and where some samples lie, their keys and captions.

    Args:
        columns: of all scanned samples.
        rows: those samples; None for all.
    """
    shards = [columns.names, tuple(shard.size for shard in columns.shards)]
    digest = hashlib.sha256(json.dumps(shards).encode())
    for part in _chunks(columns, rows):
        digest.update(np.column_stack([columns.shard_of(part), columns.numbers["spans"][part]]).tobytes())
    for text in (columns.keys, columns.captions):
        end = 0
        for part in _chunks(columns, rows):
            ends = end + np.cumsum(_lengths(text, part))
            digest.update(ends.tobytes())
            end = int(ends[-1])
        for part in _chunks(columns, rows):
            digest.update(text.bytes_of(part))
    return digest.hexdigest()


def labels_sha256(columns: Columns, rows: Rows) -> str:
    """SHA-256 of the labels of some samples, in order."""
    digest = hashlib.sha256()
    for part in _chunks(columns, rows):
        digest.update(columns.numbers["labels"][part].tobytes())
    return digest.hexdigest()


def _chunks(columns: Columns, rows: Rows) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(columns) if rows is None else len(rows), CHUNK):
        yield np.arange(start, min(start + CHUNK, len(columns))) if rows is None else rows[start : start + CHUNK]


def _lengths(text: TextColumn, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return text.ends[rows] - np.where(rows > 0, text.ends[rows - 1], 0)
