"""How much of what the captions asked for the verifier reads back from the drawn images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.extractors.images import require_uint8
from ldmlab.metrics.base import Metric
from ldmlab.metrics.standard_errors import share_error
from ldmlab.worlds.shapes.verifier import Seen, look, verify

ATTRIBUTES = ("count", "shape", "colour", "size", "place", "relation", "background", "caption")
"""What is scored, as `verify` names it; and whole captions, each right where every attribute that it asked for is."""


def looked_at(
    images: UInt8[Tensor, "B 3 H W"], asked: Sequence[Mapping[str, Any]] | None
) -> Iterator[tuple[Seen, Mapping[str, Any]]]:
    """What the verifier sees in each image, beside what its caption says; nothing where no scene was drawn.

    Args:
        images: what was drawn.
        asked: what each image's caption says, as `ldmlab.worlds.shapes.captions.caption` returns it.

    Raises:
        ValueError: the images are not uint8 (B, 3, H, W), or not one entry an image is given.
    """
    if asked is None:
        return
    require_uint8(images)
    if len(asked) != len(images):
        raise ValueError(f"asked has {len(asked)} entries for {len(images)} images; give one an image")
    for image, wish in zip(images.permute(0, 2, 3, 1).cpu().numpy(), asked, strict=True):
        yield look(image), wish


class SceneAccuracy(Metric):
    """The share of captions that asked for an attribute whose pictures show it; nothing where no scene was drawn.

    Args:
        counts: also tell how many captions asked for each, as "asked/ATTRIBUTE".
    """

    higher_is_better = True
    asked: Tensor
    right: Tensor

    def __init__(self, counts: bool = True) -> None:
        super().__init__()
        self.counts = counts
        self.add_sum("asked", torch.zeros(len(ATTRIBUTES)))
        self.add_sum("right", torch.zeros(len(ATTRIBUTES)))

    def update(self, images: UInt8[Tensor, "B 3 H W"], asked: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Look at a batch of images.

        Args:
            images: what was drawn.
            asked: what each image's caption says, as `ldmlab.worlds.shapes.captions.caption` returns it.

        Raises:
            ValueError: the images are not uint8 (B, 3, H, W), or not one entry an image is given.
        """
        for scene, wish in looked_at(images, asked):
            found = verify(scene, dict(wish))
            found["caption"] = all(found.values())
            for name, is_right in found.items():
                self.asked[ATTRIBUTES.index(name)] += 1
                self.right[ATTRIBUTES.index(name)] += is_right

    def compute(self) -> dict[str, float]:
        """ "accuracy/ATTRIBUTE" of every attribute that was asked for at least once, and the counts."""
        asked, right = (dict(zip(ATTRIBUTES, sums.tolist(), strict=True)) for sums in (self.asked, self.right))
        figures = {f"accuracy/{name}": right[name] / count for name, count in asked.items() if count}
        counts = {f"asked/{name}": count for name, count in asked.items() if count} if self.counts else {}
        return figures | counts

    def errors(self) -> dict[str, float]:
        """The standard errors of the shares."""
        told = zip(ATTRIBUTES, self.right.tolist(), self.asked.tolist(), strict=True)
        return {f"accuracy/{name}": share_error(right, asked) for name, right, asked in told if asked}
