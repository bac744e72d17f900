"""Loaders, each by the way that its documentation shows: a module each, with the functions that are described here.

- `prepare(shards, folder)`: make of a folder of tars what is read, once; nothing where the tars themselves are read.
- `batches(shards, folder, workers)`: once through, in whatever order, batches of `BATCH` pictures, uint8 or float
  (B, 3, 256, 256), and their captions. Pictures that fill no batch may be left out.

Without a module's package, importing it raises ImportError.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

Batches = Iterator[tuple[Tensor, list[str]]]
NAMES = ("ldmlab", "ldmlab_scaled", "webdataset", "litdata", "streaming", "energon", "spdl")
BATCH, SIDE = 32, 256
