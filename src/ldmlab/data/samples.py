"""Samples and captions by number, whatever they are read from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ldmlab.data.shard_dataset import Described, ImageSample


class Samples(Protocol):
    """Samples by number, from 0, each of which says its row."""

    @property
    def fingerprint(self) -> str:
        """Which samples they are, in which order."""

    def __len__(self) -> int: ...

    def __getitem__(self, sample: int, /) -> ImageSample: ...

    def described(self, sample: int, /) -> Described:
        """What is known of a sample beside its image, which is not decoded."""

    def meta(self, row: int, /) -> dict[str, Any]:
        """The json of the sample of a row; {} where it has none."""


class Texts(Protocol):
    """Captions by number, from 0."""

    def __len__(self) -> int: ...

    def __getitem__(self, sample: int, /) -> str: ...

    def __iter__(self) -> Iterator[str]: ...
