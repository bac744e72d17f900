"""A sample of an index, and its keys and captions as sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ldmlab.data.index.selection import Rows
from ldmlab.data.index.text_column import TextColumn


@dataclass(frozen=True, slots=True)
class Span:
    """`size` bytes from byte `offset` of a shard."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A usable sample: its key, caption ("" for none) and label, and where in shard number `shard` its parts lie."""

    shard: int
    key: str
    caption: str
    label: int | None
    image: Span
    meta: Span | None


class Texts(Sequence[str]):
    """The keys or the captions of an index's samples.

    Args:
        texts: of all scanned samples.
        rows: the numbers of the index's samples among these; None for all.
    """

    def __init__(self, texts: TextColumn, rows: Rows) -> None:
        self._texts, self._rows = texts, rows

    def __len__(self) -> int:
        return len(self._texts) if self._rows is None else len(self._rows)

    def __getitem__(self, row: Any) -> Any:
        """Return the text of a sample, 0 <= row < N."""
        return self._texts[int(row if self._rows is None else self._rows[row])]

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))
