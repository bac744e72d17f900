"""EfficientNet-Lite0 as an extractor."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.extractors.base import ClassifyingExtractor
from ldmlab.pretrained import efficientnet


class EfficientNetLite0(ClassifyingExtractor[efficientnet.EfficientNetLite0]):
    """EfficientNet-Lite0, 1280 features, 1960 spatial ones and 1000 classes.

    It needs no download, and compares with nothing published.

    Raises:
        ValueError: the package with the weights is missing or altered.
    """

    name = "efficientnet-lite0"
    suffix = "-lite0"
    weights_sha256 = efficientnet.WEIGHTS_SHA256

    def __init__(self) -> None:
        super().__init__(efficientnet.EfficientNetLite0())

    @torch.no_grad()
    def with_spatial(self, images: UInt8[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B 1280"], Float[Tensor, "B 1960"]]:
        """Return the features and the spatial features of images, ten channels at 14 x 14, on the extractor's device.

        Raises:
            ValueError: the images are not uint8 (B, 3, H, W).
        """
        pooled, spatial = zip(*map(self.network.with_spatial, self.passes(images)), strict=True)
        return torch.cat(pooled), torch.cat(spatial)
