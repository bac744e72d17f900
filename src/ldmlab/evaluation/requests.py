"""What a model is asked for: a condition for each of the pictures that it is to draw."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol


class Requests(Protocol):
    """N conditions.

    Attributes:
        n: how many pictures are to be drawn.
        seed: decides their noise, and whatever a metric draws.
        names: of all that is known of every one: "captions", "labels", keys of the samples' json, "asked".
    """

    @property
    def n(self) -> int: ...

    @property
    def seed(self) -> int: ...

    @property
    def names(self) -> frozenset[str]: ...

    def parts(self) -> list[range]:
        """The numbers of the pictures that are drawn at once, in order."""

    def seeds(self) -> list[int]:
        """A seed for each picture, from which it takes its noise."""

    def known(self, wanted: Collection[str]) -> dict[str, list[Any]]:
        """What is known of the N, by name: of `wanted` what there is in `names`."""
