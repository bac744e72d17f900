"""Pictures that a user gives as a set to be measured, whole or a part of it. Shapes: B pictures of H x W pixels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ldmlab.evaluation.given.source import PictureSource

DRAWING_SEED = 0
"""Decides which pictures a part of a set is, whatever else is measured of them."""


@dataclass(frozen=True)
class GivenPictures:
    """The N pictures that are taken of a source, in its order; see `ldmlab.evaluation.picture_set.PictureSet`.

    Attributes:
        source: of the pictures.
        wanted: N; None for all. Fewer than all are drawn, the same ones each time.
        batch_size: pictures at a time.

    Raises:
        ValueError: the source has fewer.
    """

    source: PictureSource
    wanted: int | None = None
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.wanted is not None and self.wanted > len(self.source):
            key = "n_reference" if self.name.startswith("reference=") else "n"
            held, wanted = f"{len(self.source):,}", f"{self.wanted:,}"
            raise ValueError(f"{self.name}: holds {held} pictures, and {wanted} are asked for; {key}=null takes all")

    @property
    def name(self) -> str:
        """How the user named the pictures."""
        return self.source.where

    @property
    def n(self) -> int:
        """How many pictures are taken, N."""
        return len(self.source) if self.wanted is None else self.wanted

    @property
    def fingerprint(self) -> str:
        """Which pictures there are, see `PictureSource`."""
        return self.source.fingerprint

    @property
    def kind(self) -> str:
        """What the pictures come from, "folder" or "npz"."""
        return self.source.kind

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.source.size

    @property
    def chosen(self) -> str:
        """Which of the pictures that there are the N are, for a manifest."""
        total = len(self.source)
        return "all" if self.n == total else f"{self.n} of {total}, drawn with seed {DRAWING_SEED}"

    @property
    def names(self) -> frozenset[str]:
        """What is known of every picture."""
        return frozenset(self.source.columns)

    def about(self) -> dict[str, Any]:
        """All that decides the pictures and their order."""
        which = {"fingerprint": self.fingerprint, "chosen": self.chosen, "n": self.n}
        return {"kind": self.kind, **which, "size": list(self.size)}

    def parts(self) -> list[range]:
        """The numbers of the pictures of each batch, in order."""
        return [range(start, min(start + self.batch_size, self.n)) for start in range(0, self.n, self.batch_size)]

    def pictures(self, part: range) -> dict[str, Any]:
        """A batch of the pictures of these numbers."""
        rows = self._rows[part.start : part.stop]
        return {**self._columns_of(rows), "images": self.source.images(rows)}

    def known(self, wanted: Collection[str]) -> dict[str, list[Any]]:
        """What is known of the N, by name: of `wanted` what there is."""
        return {name: values for name, values in self._columns_of(self._rows).items() if name in wanted}

    def _columns_of(self, rows: Sequence[int]) -> dict[str, list[Any]]:
        return {name: [values[row] for row in rows] for name, values in self.source.columns.items()}

    @cached_property
    def _rows(self) -> list[int] | range:
        total = len(self.source)
        if self.n == total:
            return range(total)
        order = torch.randperm(total, generator=torch.Generator().manual_seed(DRAWING_SEED))
        rows: list[int] = order[: self.n].sort().values.tolist()
        return rows
