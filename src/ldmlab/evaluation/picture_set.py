"""Pictures that are measured, or that others are compared with."""

from __future__ import annotations

from typing import Any, Protocol


class PictureSet(Protocol):
    """N pictures, wherever they come from.

    Attributes:
        name: what a user knows them by, for errors and manifests.
        n: how many there are.
        fingerprint: of their content and order.
    """

    @property
    def name(self) -> str: ...

    @property
    def n(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    def parts(self) -> list[range]:
        """The numbers of the pictures of each batch, in order."""

    def pictures(self, part: range) -> dict[str, Any]:
        """A batch of B: `images`, uint8 (B, 3, H, W), and what is known of each by name: `captions`, `labels`, ..."""
