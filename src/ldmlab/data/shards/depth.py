"""What a scan of a shard looks at."""

from __future__ import annotations

from typing import NamedTuple


class Depth(NamedTuple):
    """What a scan looks at beside the headers, captions and json.

    Attributes:
        checksums: the crc32 of every image's bytes is computed.
        decode: every image is decoded.
        parquet: the samples are compared with those that img2dataset's parquet beside the shard names.
    """

    checksums: bool = False
    decode: bool = False
    parquet: bool = False

    def covers(self, other: Depth) -> bool:
        """Whether all is looked at that `other` asks for."""
        return all(mine >= theirs for mine, theirs in zip(self, other, strict=True))

    def with_(self, other: Depth) -> Depth:
        """What either asks for."""
        return Depth(*(mine or theirs for mine, theirs in zip(self, other, strict=True)))


SHALLOW = Depth()
