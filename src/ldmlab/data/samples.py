"""Samples and captions by number, whatever they are read from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ldmlab.data.shard_dataset import ImageSample


class Samples(Protocol):
    """Samples by number, from 0.

    Attributes:
        fingerprint: which samples they are, in which order.
    """

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, sample: int, /) -> ImageSample: ...


class Texts(Protocol):
    """Captions by number, from 0."""

    def __len__(self) -> int: ...

    def __getitem__(self, sample: int, /) -> str: ...

    def __iter__(self) -> Iterator[str]: ...
