"""Keys of samples' json that something reads, such as the score that a conditioner is told."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def columns_of(meta: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """The values of some keys of a sample's json."""
    return {key: meta[key] for key in sorted(keys)}
