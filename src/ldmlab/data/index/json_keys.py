"""Keys of samples' json that something reads, such as the score that a conditioner is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ldmlab.data.needs import META, Needs

if TYPE_CHECKING:
    from ldmlab.data.index.shard_index import ShardIndex
    from ldmlab.data.shards.shard_files import ShardFiles


def columns_of(index: ShardIndex, row: int, files: ShardFiles) -> dict[str, Any]:
    """What is needed of a sample's json, by key, and all of it as "meta" where that is needed. Else it is not read."""
    needs = index.needs
    return needed_of(index.meta(row, files), needs) if needs.json or needs.meta else {}


def needed_of(meta: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """What is needed of a json that has been read, as `columns_of`."""
    return {key: meta[key] for key in sorted(needs.json)} | ({META: meta} if needs.meta else {})
