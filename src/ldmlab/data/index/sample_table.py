"""What a scan keeps of every sample of a shard whose image can be read, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.field_column import FieldColumn, columns_of_fields
from ldmlab.data.index.text_column import TextColumn
from ldmlab.data.problems import Defect
from ldmlab.data.shards.labels import NONE

FLAWS = tuple(Defect)
"""A flaw is stored as its number in here, from 1; 0 stands for none."""
MOST_IMAGE_BYTES = 2**29
"""No image of so few pixels as are allowed takes more."""
MOST_JSON_BYTES = 2**20
NUMBERS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "spans": (np.int64, (4,)),
    "labels": (np.int64, ()),
    "caption_flaws": (np.uint8, ()),
    "label_flaws": (np.uint8, ()),
    "checksums": (np.uint32, ()),
}
"""The columns of numbers: type, and what follows N in their shape."""


class SampleRow(NamedTuple):
    """A sample as its shard holds it: offset and bytes of image and json, (-1, 0) without a json."""

    key: str
    caption: str
    caption_flaw: Defect | None
    label: int
    label_flaw: Defect | None
    image: tuple[int, int]
    meta: tuple[int, int]
    checksum: int
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class SampleTable:
    """N samples of a shard.

    Attributes:
        spans: (N, 4) of image offset, image bytes, json offset, json bytes (-1, 0 without a json).
        labels: (N,), -1 for none.
        caption_flaws: (N,) what is wrong with the caption, which is empty where anything is.
        label_flaws: (N,) what is wrong with the label.
        checksums: (N,) crc32 of the image's bytes, 0 where they were not read.
        keys: unique within a shard.
        captions: stripped.
        fields: what the json says, by its keys.
    """

    spans: NDArray[np.int64]
    labels: NDArray[np.int64]
    caption_flaws: NDArray[np.uint8]
    label_flaws: NDArray[np.uint8]
    checksums: NDArray[np.uint32]
    keys: TextColumn
    captions: TextColumn
    fields: dict[str, FieldColumn]

    @staticmethod
    def of(rows: Sequence[SampleRow]) -> SampleTable:
        """The table of some samples, one after the other."""
        spans = [(*row.image, *row.meta) for row in rows]
        return SampleTable(
            spans=np.array(spans, np.int64).reshape(-1, 4),
            labels=np.array([row.label for row in rows], np.int64),
            caption_flaws=np.array([_number(row.caption_flaw) for row in rows], np.uint8),
            label_flaws=np.array([_number(row.label_flaw) for row in rows], np.uint8),
            checksums=np.array([row.checksum for row in rows], np.uint32),
            keys=TextColumn.of(row.key for row in rows),
            captions=TextColumn.of(row.caption for row in rows),
            fields=columns_of_fields([row.fields for row in rows]),
        )

    def __len__(self) -> int:
        return len(self.spans)

    def check(self, size: int) -> None:
        """Raise ValueError where this is no table of samples in a shard of so many bytes."""
        count = len(self)
        for name, (dtype, shape) in NUMBERS.items():
            column = getattr(self, name)
            if (column.dtype, column.shape) != (dtype, (count, *shape)):
                raise ValueError("columns of another type or length")
        self.keys.check()
        self.captions.check()
        if len(self.keys) != count or len(self.captions) != count:
            raise ValueError("columns of another length")
        for field in self.fields.values():
            field.check(count)
        whole = are_within(self.spans, size) & (self.labels >= NONE)
        whole &= np.maximum(self.caption_flaws, self.label_flaws) <= len(FLAWS)
        if not whole.all():
            raise ValueError("samples outside their shards")


def are_within(spans: NDArray[np.int64], sizes: NDArray[np.int64] | int) -> NDArray[np.bool]:
    """Whether images and json (N, 4) lie in shards of these sizes in bytes, and are no larger than they may be."""
    image, image_size, meta, meta_size = spans.T
    without = (meta == -1) & (meta_size == 0)
    images = _within(image, image_size, sizes, MOST_IMAGE_BYTES)
    return images & (without | _within(meta, meta_size, sizes, MOST_JSON_BYTES))


def _within(
    start: NDArray[np.int64], size: NDArray[np.int64], sizes: NDArray[np.int64] | int, most: int
) -> NDArray[np.bool]:
    inside = (start >= 0) & (size >= 0) & (size <= most) & (start <= sizes - size)
    return np.asarray(inside)


def _number(flaw: Defect | None) -> int:
    return 0 if flaw is None else FLAWS.index(flaw) + 1
