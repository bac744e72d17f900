"""What a scan keeps of every sample whose image can be read, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.text_column import TextColumn
from ldmlab.data.problems import Defect
from ldmlab.data.shards.labels import NONE

TEXTS = ("keys", "captions")
FLAWS = tuple(Defect)
"""A flaw is stored as its number in here, from 1; 0 stands for none."""
MOST_IMAGE_BYTES = 2**29
"""No image of so few pixels as are allowed takes more."""
MOST_JSON_BYTES = 2**20


class SampleRow(NamedTuple):
    """A sample as its shard holds it: bytes from an offset for image and json, offset -1 without a json."""

    key: str
    caption: str
    caption_flaw: Defect | None
    label: int
    label_flaw: Defect | None
    image_offset: int
    image_size: int
    meta_offset: int = -1
    meta_size: int = 0


@dataclass(frozen=True)
class SampleTable:
    """N samples of one shard, or of several in a row.

    Attributes:
        spans: (N, 4) of image offset, image bytes, json offset, json bytes (-1, 0 without a json).
        labels: (N,), -1 for none.
        caption_flaws: (N,) what is wrong with the caption, which is empty where anything is.
        label_flaws: (N,) what is wrong with the label.
        keys: unique within a shard.
        captions: stripped.
    """

    spans: NDArray[np.int64]
    labels: NDArray[np.int64]
    caption_flaws: NDArray[np.uint8]
    label_flaws: NDArray[np.uint8]
    keys: TextColumn
    captions: TextColumn

    @staticmethod
    def of(rows: Sequence[SampleRow]) -> SampleTable:
        """The table of some samples, one after the other."""
        spans = [(row.image_offset, row.image_size, row.meta_offset, row.meta_size) for row in rows]
        return SampleTable(
            spans=np.array(spans, np.int64).reshape(-1, 4),
            labels=np.array([row.label for row in rows], np.int64),
            caption_flaws=np.array([_number(row.caption_flaw) for row in rows], np.uint8),
            label_flaws=np.array([_number(row.label_flaw) for row in rows], np.uint8),
            keys=TextColumn.of(row.key for row in rows),
            captions=TextColumn.of(row.caption for row in rows),
        )

    @staticmethod
    def joined(tables: Sequence[SampleTable]) -> SampleTable:
        """Return one table after the other; at least one."""
        columns: dict[str, Any] = {}
        for field in fields(SampleTable):
            parts = [getattr(table, field.name) for table in tables]
            columns[field.name] = TextColumn.joined(parts) if field.name in TEXTS else np.concatenate(parts)
        return SampleTable(**columns)

    def __len__(self) -> int:
        return len(self.spans)

    def part(self, start: int, stop: int) -> SampleTable:
        """Return samples `start` to `stop`, without copying them."""
        columns: dict[str, Any] = {}
        for field in fields(SampleTable):
            column = getattr(self, field.name)
            columns[field.name] = column.part(start, stop) if field.name in TEXTS else column[start:stop]
        return SampleTable(**columns)

    def check(self, sizes: NDArray[np.int64]) -> None:
        """Raise ValueError where this is no table of samples in shards of these sizes in bytes, one a sample (N,)."""
        count = len(sizes)
        for column, dtype, shape in (
            (self.spans, np.int64, (count, 4)),
            (self.labels, np.int64, (count,)),
            (self.caption_flaws, np.uint8, (count,)),
            (self.label_flaws, np.uint8, (count,)),
        ):
            if (column.dtype, column.shape) != (dtype, shape):
                raise ValueError("columns of another type or length")
        self.keys.check()
        self.captions.check()
        if len(self.keys) != count or len(self.captions) != count:
            raise ValueError("columns of another length")
        image, image_size, meta, meta_size = self.spans.T
        without = (meta == -1) & (meta_size == 0)
        whole = _within(image, image_size, sizes, MOST_IMAGE_BYTES)
        whole &= without | _within(meta, meta_size, sizes, MOST_JSON_BYTES)
        whole &= (self.labels >= NONE) & (np.maximum(self.caption_flaws, self.label_flaws) <= len(FLAWS))
        if not whole.all():
            raise ValueError("samples outside their shards")


def _within(start: NDArray[np.int64], size: NDArray[np.int64], sizes: NDArray[np.int64], most: int) -> NDArray[np.bool]:
    inside = (start >= 0) & (size >= 0) & (size <= most) & (start <= sizes - size)
    return np.asarray(inside)


def _number(flaw: Defect | None) -> int:
    return 0 if flaw is None else FLAWS.index(flaw) + 1
