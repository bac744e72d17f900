"""What a user decides of cached latents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LatentOptions:
    """What a user decides of caches.

    Attributes:
        path: the folder that they lie in, each in one of its own; None for that of the shards.
        rebuild: make stale ones anew; they are refused otherwise.
        crops: how many random crops of each training picture there are, from which training takes one at a time; None
            for the centre alone.
        text: keep what a frozen conditioner gives for the captions, too.

    Raises:
        ValueError: fewer than 2 crops.
    """

    path: Path | str | None = None
    rebuild: bool = False
    crops: int | None = None
    text: bool = False

    def __post_init__(self) -> None:
        if self.crops is not None and self.crops < 2:
            raise ValueError(f"latents.crops={self.crops}: give 2 or more, or null for the crop in the centre")
