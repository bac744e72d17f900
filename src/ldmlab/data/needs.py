"""What every sample must have, by what reads the batches."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """What a sample must have beside its image; without it, the sample is left out and named.

    Attributes:
        captions: a caption.
        classes: a label in [0, classes); None where none is read.
    """

    captions: bool = True
    classes: int | None = None

    @staticmethod
    def of(reads: Collection[str], classes: int | None = None) -> Needs:
        """Return the needs of what reads these keys of a batch ("captions", "labels")."""
        return Needs("captions" in reads, classes if "labels" in reads else None)
