"""What a model is asked for: a condition for each of the pictures that it is to draw."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol


class Requests(Protocol):
    """N conditions."""

    @property
    def n(self) -> int:
        """How many pictures are to be drawn."""

    @property
    def batch_size(self) -> int:
        """How many are drawn at once."""

    @property
    def seed(self) -> int:
        """Decides the noise of the pictures, and whatever a metric draws."""

    @property
    def names(self) -> frozenset[str]:
        """The names of all that is known of every picture: "captions", "labels", keys of the json, "asked"."""

    def parts(self) -> list[range]:
        """The numbers of the pictures that are drawn at once, in order."""

    def seeds(self) -> list[int]:
        """A seed for each picture, from which it takes its noise."""

    def known(self, wanted: Collection[str]) -> dict[str, list[Any]]:
        """What is known of the N, by name: of `wanted` what there is in `names`."""
