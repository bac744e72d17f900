"""How much of what the captions asked for the verifier reads back from the drawn images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from ldmlab.metrics.images import require_uint8
from ldmlab.worlds.shapes.verifier import look, verify

CAPTION = "caption"
"""The score of whole captions: an image counts where every attribute that its caption asked for is right."""


class SceneAccuracy:
    """Counts, over batches, which attributes (count, shape, colour, size, place, relation, background) came out right.

    Attributes:
        asked: how many captions asked for each attribute; `asked["caption"]` is the number of captions.
        right: how many of them show it.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.right: Counter[str] = Counter()

    def update(self, images: UInt8[Tensor, "B 3 H W"], asked: Sequence[Mapping[str, Any]]) -> None:
        """Look at a batch of images.

        Args:
            images: what was drawn.
            asked: what each image's caption says, as `ldmlab.worlds.shapes.captions.caption` returns it.

        Raises:
            ValueError: the images are not uint8 (B, 3, H, W), or not one entry an image is given.
        """
        require_uint8(images)
        if len(asked) != len(images):
            raise ValueError(f"asked has {len(asked)} entries for {len(images)} images; give one an image")
        for image, wish in zip(images.permute(0, 2, 3, 1).cpu().numpy(), asked, strict=True):
            found = verify(look(image), dict(wish))
            self._count({**found, CAPTION: all(found.values())})

    def fractions(self) -> dict[str, float]:
        """Return right / asked of every attribute that was asked for at least once."""
        return {name: self.right[name] / count for name, count in self.asked.items()}

    def _count(self, found: Mapping[str, bool]) -> None:
        self.asked.update(found.keys())
        self.right.update(name for name, right in found.items() if right)
