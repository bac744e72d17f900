"""What a model is asked for: a condition for each of the pictures that it is to draw."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from ldmlab.samplers.noise import picture_seeds


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


@dataclass(frozen=True)
class Unasked:
    """N pictures of a model that draws from nothing, see `Requests`.

    Attributes:
        n: N.
        seed: of their noise, and of whatever a metric draws.
        batch_size: pictures that are drawn at once.
    """

    n: int
    seed: int = 0
    batch_size: int = 32
    names = frozenset[str]()

    def parts(self) -> list[range]:
        """The numbers of the pictures of each batch, in order."""
        return [range(start, min(start + self.batch_size, self.n)) for start in range(0, self.n, self.batch_size)]

    def seeds(self) -> list[int]:
        """A seed for each picture."""
        return picture_seeds(self.seed, self.n)

    def known(self, wanted: Collection[str]) -> dict[str, list[Any]]:
        """No columns, since such a model is asked for nothing that could be known."""
        return {}
