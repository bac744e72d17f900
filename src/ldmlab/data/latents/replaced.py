"""Which samples of a latent cache are others than those asked for, since their pictures are corrupt."""

from __future__ import annotations

import logging
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ldmlab.atomic import atomic_file
from ldmlab.data.index.npy_file import map_npy
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.parts import Parts
from ldmlab.data.problems import Defect, Problem, summarise

log = logging.getLogger(__name__)
NAME = "replaced.npy"
MOST = 100_000
"""Rows that are kept in that file."""


def tell_of_replaced(parts: Parts, index: ShardIndex) -> None:
    """Warn of the samples that are replaced in a whole cache. They are looked for once, and kept in a file beside it.

    Args:
        parts: the cache.
        index: of the samples.
    """
    rows = _stored(parts, len(index))
    if rows is None:
        rows = np.unique(np.concatenate([_replaced(parts, part, len(index)) for part in range(len(parts))]))[:MOST]
        with suppress(OSError), atomic_file(parts.folder / NAME) as file:
            np.lib.format.write_array(file, rows, allow_pickle=False)
    if len(rows):
        entries = (index[row] for row in rows.tolist())
        found = [Problem(Defect.UNDECODABLE_IMAGE, index.shards[each.shard], each.key) for each in entries]
        log.warning("%s: replaced by other samples: %s", parts.folder, summarise(found))


def _replaced(parts: Parts, part: int, samples: int) -> NDArray[np.int64]:
    span = parts.span(part)
    asked = np.arange(span.start, span.stop) % samples
    return asked[parts.read(part)["row"] != asked]


def _stored(parts: Parts, samples: int) -> NDArray[np.int64] | None:
    try:
        rows = map_npy(parts.folder / NAME)
    except (OSError, ValueError):
        return None
    fits = rows.dtype == np.int64 and rows.ndim == 1 and len(rows) <= MOST
    return rows if fits and rows.min(initial=0) >= 0 and rows.max(initial=0) < samples else None
