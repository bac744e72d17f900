"""The networks whose features and logits FID and IS compare.

A figure is comparable only with figures of the same extractor, so every extractor carries the suffix that its
figures are labelled with: the Inception of 2015 gives "FID" and "IS", EfficientNet-Lite0 "FID-lite0" and "IS-lite0".
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.metrics.images import require_uint8
from ldmlab.pretrained import efficientnet, inception

CPU_BATCH = 8
"""Images a pass on the CPU, where small batches run fastest (they stay in the cache)."""
GPU_BATCH = 64


@runtime_checkable
class FeatureExtractor(Protocol):
    """What a metric needs to know of a network.

    Attributes:
        name: the network, for manifests.
        suffix: what its figures' labels end with, as in f"FID{suffix}".
        weights_sha256: checksum of its weights file.
    """

    name: str
    suffix: str
    weights_sha256: str

    def to(self, device: torch.device | str) -> FeatureExtractor:
        """Move the network to a device and return the extractor."""
        ...

    def features(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B F"]:
        """Return one feature vector an image."""
        ...

    def logits(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """Return the class logits that belong to feature vectors."""
        ...


class _NetworkExtractor:
    """Runs a frozen network in passes of the size that suits its device, the CPU to begin with."""

    name: str
    suffix: str
    weights_sha256: str

    def __init__(self, network: efficientnet.EfficientNetLite0 | inception.Inception2015) -> None:
        self.network = network
        self.device = torch.device("cpu")

    def to(self, device: torch.device | str) -> _NetworkExtractor:
        """Move the network to a device and return the extractor."""
        self.device = torch.device(device)
        self.network.to(self.device)
        return self

    @torch.no_grad()
    def features(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B F"]:
        """Return one feature vector an image, on the extractor's device.

        Raises:
            ValueError: the images are not uint8 (B, 3, H, W).
        """
        require_uint8(images)
        passes = images.split(CPU_BATCH if self.device.type == "cpu" else GPU_BATCH)
        return torch.cat([self.network.features(part.to(self.device)) for part in passes])

    @torch.no_grad()
    def logits(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """Return the class logits of feature vectors, on the extractor's device."""
        return self.network.classify(features.to(self.device))


class EfficientNetLite0(_NetworkExtractor):
    """EfficientNet-Lite0, 1280 features and 1000 classes: needs no download, compares with nothing published.

    Raises:
        ValueError: the package with the weights is missing or altered.
    """

    name = "efficientnet-lite0"
    suffix = "-lite0"
    weights_sha256 = efficientnet.WEIGHTS_SHA256

    def __init__(self) -> None:
        super().__init__(efficientnet.EfficientNetLite0())


class Inception2015(_NetworkExtractor):
    """The Inception of 2015, 2048 features and 1008 classes: what published FID and IS use.

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
