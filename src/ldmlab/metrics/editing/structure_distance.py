"""How far an edit changes where things are, whatever they look like (Tumanyan et al., "Splicing ViT Features", 2022).

Shapes: B edits, T places of a picture, D features of each, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.extractors.places import DinoPlaces, Lite0Places
from ldmlab.metrics.editing.base import EditMetric


class StructureDistance(EditMetric):
    """Mean squared difference of two pictures' self-similarity, the cosine of the features of any two of their places.

    "structure_distance-dino-vitb8", which is PIE-Bench's, takes the keys of the last layer of DINO's ViT-B/8. Without
    weights "structure_distance-lite0" takes feature maps of EfficientNet-Lite0, and compares with nothing published.

    Args:
        weights: DINO's dino_vitbase8_pretrain.pth, see `DinoPlaces`; None for Lite0.

    Raises:
        ValueError: the file is absent, or belongs to another network.
    """

    higher_is_better = False

    def __init__(self, weights: Path | str | None = None) -> None:
        network = Lite0Places() if weights is None else DinoPlaces(weights)
        super().__init__(f"structure_distance{network.suffix}")
        self.network = network

    def networks(self) -> Mapping[str, str]:
        """The network that it measures with, and the checksum of its weights."""
        return {self.network.name: self.network.weights_sha256}

    def update(self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"]) -> None:
        """Take in edits, see `EditMetric`; on the device of the images, whole pictures one by one."""
        places = self.network.to(images.device).places
        pairs = zip(images.split(1), truth.split(1), strict=True)
        squares = [(self_similarity(places(a)) - self_similarity(places(b))).square().mean() for a, b in pairs]
        self.add(torch.stack(squares))


def self_similarity(places: Float[Tensor, "B T D"]) -> Float[Tensor, "B T T"]:
    """The cosine of the features of any two places."""
    length = places.norm(dim=2, keepdim=True)
    return places @ places.mT / (length @ length.mT).clamp(min=1e-8)
