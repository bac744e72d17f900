"""Networks that describe each place of a picture, so that two pictures' structure can be compared.

Shapes: B images, T places, D features of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from ldmlab.extractors.images import require_uint8
from ldmlab.pretrained.dino import DinoKeys
from ldmlab.pretrained.efficientnet import INPUT_SIZE, WEIGHTS_SHA256, EfficientNetLite0


class PlaceExtractor(Protocol):
    """A frozen network, no `nn.Module` itself.

    Attributes:
        name: the network, for manifests.
        suffix: what its figures' labels end with.
        weights_sha256: checksum of its weights file.
    """

    name: str
    suffix: str
    weights_sha256: str

    def to(self, device: torch.device | str) -> PlaceExtractor:
        """Move the network to a device and return the extractor."""
        ...

    def places(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B T D"]:
        """Return the features of each place of each image."""
        ...


class DinoPlaces:
    """The keys of the last layer of DINO's ViT-B/8: a class token and 28 x 28 patches, 768 features each.

    Args:
        weights: see `DinoKeys`.

    Raises:
        ValueError: the file is absent, or holds another network.
    """

    name = "dino-vitb8"
    suffix = "-dino-vitb8"

    def __init__(self, weights: Path | str) -> None:
        self.network = DinoKeys(weights)
        self.weights_sha256 = self.network.weights_sha256

    def to(self, device: torch.device | str) -> DinoPlaces:
        """Move the network to a device and return the extractor."""
        self.network.to(device)
        return self

    @torch.no_grad()
    def places(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 785 768"]:
        """Return the keys of each image, which is on the network's device.

        Raises:
            ValueError: the images are not uint8 (B, 3, H, W).
        """
        require_uint8(images)
        keys: Tensor = self.network(images)
        return keys


class Lite0Places:
    """The feature maps of EfficientNet-Lite0's fifth stage: 14 x 14 places, 112 features each; needs no download.

    Raises:
        ValueError: the package with the weights is missing or altered.
    """

    name = "efficientnet-lite0"
    suffix = "-lite0"
    weights_sha256 = WEIGHTS_SHA256

    def __init__(self) -> None:
        self.network = EfficientNetLite0()

    def to(self, device: torch.device | str) -> Lite0Places:
        """Move the network to a device and return the extractor."""
        self.network.to(device)
        return self

    @torch.no_grad()
    def places(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 196 112"]:
        """Return the maps of each image, which is on the network's device, resized to 224 x 224.

        Raises:
            ValueError: the images are not uint8 (B, 3, H, W).
        """
        require_uint8(images)
        pixels = interpolate(images.float(), (INPUT_SIZE, INPUT_SIZE), mode="bicubic", antialias=True)
        return self.network.stages(pixels / 127.5 - 1)[-1].flatten(2).mT
