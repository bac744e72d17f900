"""A network that is none: quick features of pictures, and of the width that is asked for."""

from __future__ import annotations

import torch
from torch import Tensor


class StandIn:
    """Features are random projections of pictures that were made 4 x 4; it counts what it is asked for.

    Args:
        width: F.
        name: of the network.
    """

    suffix, weights_sha256 = "-stand_in", "0" * 64

    def __init__(self, width: int = 6, name: str = "stand-in") -> None:
        self.name, self.asked = name, 0
        self._matrix = torch.randn(48, width, generator=torch.Generator().manual_seed(0))

    def to(self, device: object) -> StandIn:
        return self

    def features(self, images: Tensor) -> Tensor:
        self.asked += len(images)
        small = torch.nn.functional.interpolate(images.float(), (4, 4), mode="area")
        return small.flatten(1) / 64 @ self._matrix

    def logits(self, features: Tensor) -> Tensor:
        return features[:, :5]
