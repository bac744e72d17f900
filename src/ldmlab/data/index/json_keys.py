"""Keys of samples' json that something reads, such as the score that a conditioner is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ldmlab.data.needs import META

if TYPE_CHECKING:
    from ldmlab.data.index.shard_index import ShardIndex
    from ldmlab.data.shards.shard_files import ShardFiles


def columns_of(index: ShardIndex, row: int, files: ShardFiles) -> dict[str, Any]:
    """What is needed of a sample's json, by key, and all of it as "meta" where that is needed. Else it is not read."""
    needs = index.needs
    if not (needs.json or needs.meta):
        return {}
    meta = index.meta(row, files)
    return {key: meta[key] for key in sorted(needs.json)} | ({META: meta} if needs.meta else {})
