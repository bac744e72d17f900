"""Collecting the feature vectors of a set of images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


class FeatureBank:
    """The features of a set of images in the order of their arrival, kept on the CPU in float64."""

    def __init__(self) -> None:
        self._features: list[Tensor] = []

    def update(self, features: Float[Tensor, "B F"]) -> None:
        """Add a batch, one vector an image.

        Raises:
            ValueError: NaN or infinite features.
        """
        if not bool(torch.isfinite(features).all()):
            raise ValueError("features hold NaN or infinite values; look for NaN in the images or the extractor")
        self._features.append(features.detach().to("cpu", torch.float64))

    def collect(self) -> Float[Tensor, "N F"]:
        """All of them.

        Raises:
            ValueError: nothing was added.
        """
        if not self._features:
            raise ValueError("no image was given; the set is empty")
        return torch.cat(self._features)
