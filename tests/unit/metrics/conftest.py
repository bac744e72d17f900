"""An extractor without a network, so that the metrics' own arithmetic is what the tests see."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


class MeanColours:
    """Features: the mean of each colour channel in 0..1. Logits: the same, scaled up."""

    name = "mean-colours"
    suffix = "-mean"
    weights_sha256 = "0" * 64

    def to(self, device: torch.device | str) -> MeanColours:
        return self

    def features(self, images: Tensor) -> Tensor:
        return images.float().mean((2, 3)) / 255

    def logits(self, features: Tensor) -> Tensor:
        return 10 * features


@pytest.fixture
def extractor() -> MeanColours:
    return MeanColours()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
