"""What came of batches that stay the same, in memory, for whoever measures again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor

Tensors = dict[str, Tensor]
SAME = ("real", "naive")
"""Feeds of pictures that no model has made, see `Feed`."""


class Remembered:
    """What `Kept` is on the disk, for as long as this process measures: some kB a picture and network.

    Args:
        feeds: whose batches stay the same; the others are made anew.
    """

    def __init__(self, feeds: Collection[str] = SAME) -> None:
        self.feeds = feeds
        self._found: dict[str, Tensors] = {}

    def of(self, about: Mapping[str, Any]) -> Remembered:
        """It is for one measurement, which is made again."""
        return self

    def tell(self, tell: Callable[[str], None] = print) -> None:
        """Say nothing by `tell`: no earlier start has done anything."""

    def get(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """What came of a batch, made the first time."""
        if name.rpartition("-")[0] not in self.feeds:
            return make()
        if name not in self._found:
            self._found[name] = make()
        return self._found[name]

    def has(self, name: str) -> bool:
        """Whether it is known what came of a batch."""
        return name in self._found
