"""What an expression reads of N samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
"""(N,), NaN where a sample has none."""
Texts = Sequence[str | None]
"""N, None where a sample has none."""
Bits = NDArray[np.bool]
"""(N,)."""


class Rows(Protocol):
    """N samples, whose fields are asked for by the names that an expression has for them."""

    def __len__(self) -> int:
        """N."""

    def numbers(self, name: str) -> Numbers:
        """A field's numbers; true counts as 1, false as 0."""

    def texts(self, name: str) -> Texts:
        """A field's texts."""

    def missing(self, name: str) -> Bits:
        """Where a field is not there, or null, or NaN."""


class Truth(NamedTuple):
    """What is known of a condition on N samples.

    It is Kleene's logic: a condition on a missing value is unknown, and what it is part of is unknown unless the rest
    decides it (Kleene 1952, "Introduction to Metamathematics", section 64), as in SQL.

    Attributes:
        yes: where it holds.
        known: where it is known whether it does.
    """

    yes: Bits
    known: Bits

    def __and__(self, other: Truth) -> Truth:
        """Both."""
        is_no = (self.known & ~self.yes) | (other.known & ~other.yes)
        return Truth(self.yes & other.yes, (self.known & other.known) | is_no)

    def __or__(self, other: Truth) -> Truth:
        """One of them, or both."""
        yes = self.yes | other.yes
        return Truth(yes, (self.known & other.known) | yes)

    def __invert__(self) -> Truth:
        """The opposite."""
        return Truth(self.known & ~self.yes, self.known)


def certain(yes: Bits) -> Truth:
    """A condition that is known of every sample."""
    return Truth(yes, np.ones(len(yes), np.bool))
