"""How often, and how seen, a cache holds each sample: as it is, mirrored, and in crops that were drawn once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.order.bucket_selection import All
from ldmlab.data.order.bucket_sizes import Size
from ldmlab.data.order.buckets import Buckets, Rows, places_in
from ldmlab.data.order.views import View

CHUNK = 1 << 20


@dataclass(frozen=True)
class Variants:
    """The looks at each of N samples, of which look v at sample i has number v N + i.

    Attributes:
        rows: of the samples; those of one bucket, where there are buckets.
        mirrored: whether each is there left for right, too.
        crops: how many crops there are of each, at places that its row decides; 1 is the one in the centre.
        size: (height, width) in pixels; None for the dataset's own.
    """

    rows: Rows
    mirrored: bool = False
    crops: int = 1
    size: Size | None = None

    @staticmethod
    def of_buckets(buckets: Buckets, mirrored: bool = False, crops: int = 1) -> list[Variants]:
        """Return the looks at the samples of each bucket."""
        found = zip(buckets.rows, buckets.sizes, strict=True)
        return [Variants(rows, mirrored, crops, size) for rows, size in found]

    @staticmethod
    def of_all(count: int, mirrored: bool = False, crops: int = 1) -> Variants:
        """Return the looks at each of `count` samples."""
        return Variants(All(count), mirrored, crops)

    def __len__(self) -> int:
        return self.samples * self.crops * (2 if self.mirrored else 1)

    @property
    def samples(self) -> int:
        """N."""
        return len(self.rows)

    def views(self, numbers: Sequence[int]) -> list[View]:
        """Return what is to be encoded under some numbers."""
        looks, places = np.divmod(np.asarray(numbers, np.int64), self.samples)
        crops, mirrored = np.divmod(looks, 2) if self.mirrored else (looks, np.zeros_like(looks))
        rows = self.rows[places]
        found = zip(rows.tolist(), mirrored.tolist(), crops.tolist(), strict=True)
        return [View(row, bool(flip), *self._place(row, crop), self.size) for row, flip, crop in found]

    def numbers(self, views: Sequence[View]) -> NDArray[np.int64]:
        """Return the numbers of what stands for views: of K crops, that of the K-th part of the room its own is in."""
        rows = np.array([view.row for view in views], np.int64)
        looks = np.array([self._look(view) for view in views], np.int64)
        return looks * self.samples + places_in(self.rows, rows)

    @property
    def rows_sha256(self) -> str:
        """SHA-256 of the rows, which are read for it in chunks."""
        digest = hashlib.sha256()
        for first in range(0, self.samples, CHUNK):
            digest.update(self.rows[np.arange(first, min(first + CHUNK, self.samples))].tobytes())
        return digest.hexdigest()

    def rows_of(self, numbers: range) -> NDArray[np.int64]:
        """Return the rows of the samples under some numbers."""
        return self.rows[np.arange(numbers.start, numbers.stop) % self.samples]

    def _look(self, view: View) -> int:
        crop = min(int(view.down * self.crops), self.crops - 1)
        return 2 * crop + view.mirrored if self.mirrored else crop

    def _place(self, row: int, crop: int) -> tuple[float, float]:
        """Where a crop lies, down and across, uniform in [0, 1): of the arguments alone."""
        if self.crops == 1:
            return 0.5, 0.5
        digest = hashlib.blake2b(f"{row}/{crop}".encode(), digest_size=16).digest()
        down, across = (int.from_bytes(digest[first : first + 8], "big") >> 11 for first in (0, 8))
        return down * 2.0**-53, across * 2.0**-53
