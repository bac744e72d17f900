"""The Inception of 2015 as an extractor."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.extractors.base import ClassifyingExtractor
from ldmlab.pretrained import inception


class Inception2015(ClassifyingExtractor[inception.Inception2015]):
    """The Inception of 2015, 2048 features, 2023 spatial ones and 1008 classes: what published FID, sFID and IS use.

    Args:
        weights: path of weights-inception-2015-12-05-6726825d.pth.

    Raises:
        ValueError: no path is given, or the file is absent or not the known one.
    """

    name = "inception-2015"
    suffix = ""
    weights_sha256 = inception.WEIGHTS_SHA256

    def __init__(self, weights: Path | str | None) -> None:
        super().__init__(inception.Inception2015(weights))

    @torch.no_grad()
    def with_spatial(self, images: UInt8[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B 2048"], Float[Tensor, "B 2023"]]:
        """Return the features and the spatial features of images, on the extractor's device.

        Raises:
            ValueError: the images are not uint8 (B, 3, H, W).
        """
        pooled, spatial = zip(*map(self.network.with_spatial, self.passes(images)), strict=True)
        return torch.cat(pooled), torch.cat(spatial)
