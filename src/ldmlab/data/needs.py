"""What every sample must have, by what reads the batches."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

OF_EVERY_BATCH = frozenset({"images", "moments", "keys", "rows", "meta"})
"""What a batch of data holds whatever is needed of it."""


@dataclass(frozen=True)
class Needs:
    """What a sample must have beside its image; without it, the sample is left out and named.

    Attributes:
        captions: a caption.
        classes: a label in [0, classes); None where none is read.
        json: keys of its json; batches have their values under these names.
    """

    captions: bool = True
    classes: int | None = None
    json: frozenset[str] = frozenset()

    @staticmethod
    def of(reads: Collection[str], classes: int | None = None) -> Needs:
        """Return the needs of what reads these keys of a batch.

        "captions" are the samples' texts and "labels" their classes, the picture is "images"; every other key is one
        of the json.
        """
        own = frozenset(reads) - {"captions", "labels"} - OF_EVERY_BATCH
        return Needs("captions" in reads, classes if "labels" in reads else None, own)
