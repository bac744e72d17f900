"""What metrics need to know of the networks whose features and logits they compare.

A figure is comparable only with figures of the same extractor, so every extractor carries the suffix that its
figures are labelled with: the Inception of 2015 gives "FID" and "IS", EfficientNet-Lite0 "FID-lite0" and "IS-lite0".
Shapes: B images, F features, K classes, S spatial features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, Self, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.extractors.images import require_uint8

CPU_BATCH = 2
"""Images a pass on the CPU, where small batches run fastest (they stay in the cache)."""
GPU_BATCH = 64


@runtime_checkable
class FeatureExtractor(Protocol):
    """A frozen network, no `nn.Module` itself. What else it may tell is a protocol of its own.

    Attributes:
        name: the network, for manifests.
        suffix: what its figures' labels end with, as in f"FID{suffix}".
        weights_sha256: checksum of its weights file; two extractors of one name and checksum are the same network.
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


@runtime_checkable
class Classifier(Protocol):
    """An extractor that classifies."""

    def logits(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """Return the class logits that belong to feature vectors."""
        ...


@runtime_checkable
class SpatialExtractor(Protocol):
    """An extractor with features that still say where in the image something is."""

    def with_spatial(self, images: UInt8[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B F"], Float[Tensor, "B S"]]:
        """Return the features and the spatial features of images, of one pass."""
        ...


@runtime_checkable
class TextExtractor(Protocol):
    """An extractor that has features of texts too, which lie among those of images."""

    def text_features(self, captions: Sequence[str]) -> Float[Tensor, "B F"]:
        """Return one feature vector a text."""
        ...


class Network(Protocol):
    """A module that an extractor runs."""

    def to(self, device: torch.device) -> object:
        """Move the module."""
        ...

    def features(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B F"]:
        """Features of images."""
        ...


class ClassifyingNetwork(Network, Protocol):
    """A module that classifies, too."""

    def classify(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """Logits of features."""
        ...


AnyNetwork = TypeVar("AnyNetwork", bound=Network)
AnyClassifyingNetwork = TypeVar("AnyClassifyingNetwork", bound=ClassifyingNetwork)


class NetworkExtractor(Generic[AnyNetwork]):
    """Runs a frozen network in passes of the size that suits its device, the CPU to begin with.

    Args:
        network: gives features.
    """

    name: str
    suffix: str
    weights_sha256: str

    def __init__(self, network: AnyNetwork) -> None:
        self.network = network
        self.device = torch.device("cpu")

    def to(self, device: torch.device | str) -> Self:
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
        return torch.cat([self.network.features(part) for part in self.passes(images)])

    def passes(self, images: UInt8[Tensor, "B 3 H W"]) -> Iterator[UInt8[Tensor, "P 3 H W"]]:
        """The images on the extractor's device, in parts of the size that suits it.

        Raises:
            ValueError: the images are not uint8 (B, 3, H, W).
        """
        require_uint8(images)
        for part in images.split(pass_size(self.device)):
            yield part.to(self.device)


class ClassifyingExtractor(NetworkExtractor[AnyClassifyingNetwork]):
    """Runs a frozen network that classifies.

    Args:
        network: gives features and logits.
    """

    @torch.no_grad()
    def logits(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """Return the class logits of feature vectors, on the extractor's device."""
        return self.network.classify(features.to(self.device))


def pass_size(device: torch.device) -> int:
    """Images that a network takes at once on a device."""
    return CPU_BATCH if device.type == "cpu" else GPU_BATCH
