"""What every sample must have, by what reads the batches."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

OF_EVERY_BATCH = frozenset({"images", "moments", "keys", "rows"})
"""What a batch of data holds whatever is needed of it."""
META = "meta"
"""The whole json of each sample, which is parsed for what reads it alone."""


@dataclass(frozen=True)
class Needs:
    """What a sample must have beside its image; without it, the sample is left out and named.

    Attributes:
        captions: a caption.
        classes: a label in [0, classes); None where none is read.
        json: keys of its json; batches have their values under these names.
        meta: whether batches have "meta", the json of each sample.
    """

    captions: bool = True
    classes: int | None = None
    json: frozenset[str] = frozenset()
    meta: bool = False

    @staticmethod
    def of(reads: Collection[str], classes: int | None = None) -> Needs:
        """Return the needs of what reads these keys of a batch.

        "captions" are the samples' texts and "labels" their classes, the picture is "images" and "meta" the json; every
        other key is one of the json.
        """
        own = frozenset(reads) - {"captions", "labels", META} - OF_EVERY_BATCH
        return Needs("captions" in reads, classes if "labels" in reads else None, own, META in reads)
