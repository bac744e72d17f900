"""Pictures that are measured, or that others are compared with."""

from __future__ import annotations

from typing import Any, Protocol


class PictureSet(Protocol):
    """N pictures, wherever they come from."""

    @property
    def name(self) -> str:
        """What a user knows the pictures by, for errors and manifests."""

    @property
    def kind(self) -> str:
        """What the pictures come from: "shards", "folder", "npz", or "statistics" where there are none."""

    @property
    def n(self) -> int:
        """How many pictures there are."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width in pixels; None where there are no pictures."""

    @property
    def chosen(self) -> str:
        """Which of all pictures there the N are, in words."""

    @property
    def fingerprint(self) -> str:
        """A digest of the pictures and their order."""

    def about(self) -> dict[str, Any] | None:
        """All that decides the pictures, their order and their size, as plain JSON data; None where that is unknown."""

    def parts(self) -> list[range]:
        """The numbers of the pictures of each batch, in order."""

    def pictures(self, part: range) -> dict[str, Any]:
        """A batch of B: `images`, uint8 (B, 3, H, W), and what is known of each by name: `captions`, `labels`, ..."""
