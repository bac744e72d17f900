"""Keys of samples' json that something reads, such as the score that a conditioner is told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ldmlab.data.problems import Defect, Problem

if TYPE_CHECKING:
    from ldmlab.data.index.shard_index import ShardIndex


def with_keys(index: ShardIndex, keys: Collection[str]) -> ShardIndex:
    """Return the samples whose json has a value for every one of these keys; the others are among the problems.

    Every json is read for it, once.

    Raises:
        ValueError: no sample has them all.
    """
    files, rows, problems = index.files(), [], []
    for row, entry in enumerate(index):
        lacking = [key for key in sorted(keys) if index.meta(row, files).get(key) is None]
        if lacking:
            problems.append(Problem(Defect.MISSING_KEY, index.shards[entry.shard], entry.key, lacking[0]))
        else:
            rows.append(row)
    if not rows:
        raise ValueError(
            f"the shards in {index.root} have no '{problems[0].detail}', in KEY.json: add it, or choose what reads no "
            "such key (a key of a batch that is neither captions, labels nor images is one of the json)"
        )
    found = index if len(rows) == len(index) else index.select(rows)
    return replace(found, problems=(*index.problems, *problems))


def columns_of(meta: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """The values of some keys of a sample's json."""
    return {key: meta[key] for key in sorted(keys)}
