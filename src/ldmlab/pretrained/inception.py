"""The Inception network of 2015 that published FID and IS use, through torchmetrics, from a local weights file."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ldmlab.pretrained.folding import fold_batch_norms
from ldmlab.pretrained.weights import require_file, verify_checksum

WEIGHTS_FILE = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
FEATURES = 2048
CLASSES = 1008
SPATIAL_LAYER = "Mixed_6d.branch1x1"
"""What TensorFlow calls `mixed_6/conv`."""
SPATIAL_CHANNELS = 7
SPATIAL_FEATURES = 17 * 17 * SPATIAL_CHANNELS

_FIX = (
    f"give the path of {WEIGHTS_FILE} from the releases of torch-fidelity, "
    "or use extractor=efficientnet_lite0, whose weights come with a Python package"
)


class Inception2015(nn.Module):
    """Frozen Inception v3 of the original FID, always in evaluation mode.

    Images are uint8 in 0..255, resized to 299 x 299 as TensorFlow 1 did (bilinear, no antialiasing): what makes
    figures comparable with published ones.

    Args:
        weights: path of the weights file.

    Raises:
        ValueError: no path is given, the file is absent, or its checksum is another.
    """

    def __init__(self, weights: Path | str | None) -> None:
        super().__init__()
        path = require_file(weights, _FIX)
        # torchmetrics unpickles the file without restrictions: nothing but the one known file may get there.
        verify_checksum(path, WEIGHTS_SHA256, _FIX)
        self.network = _build(path).to(memory_format=torch.channels_last)
        fold_batch_norms(self.network)

    def train(self, mode: bool = True) -> Inception2015:
        """Stay in evaluation mode whatever the parent does."""
        return super().train(False)

    def features(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 2048"]:
        """The pooled features of images resized to 299 x 299."""
        if images.dtype != torch.uint8:
            raise ValueError(f"images have dtype {images.dtype}; this network takes uint8 in 0..255")
        return self.network(images)

    def with_spatial(self, images: UInt8[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B 2048"], Float[Tensor, "B 2023"]]:
        """The pooled features, and of the same pass the first 7 channels of the layer `mixed_6/conv`, 17 x 17 each.

        These are what sFID compares, position by position, as the evaluator of Dhariwal and Nichol, "Diffusion Models
        Beat GANs" (2021), flattens them: channels last.
        """
        maps: list[Tensor] = []
        layer = self.network.get_submodule(SPATIAL_LAYER)
        with layer.register_forward_hook(lambda _module, _given, output: maps.append(output[:, :SPATIAL_CHANNELS])):
            features = self.features(images)
        return features, maps[0].permute(0, 2, 3, 1).flatten(1)

    def classify(self, features: Float[Tensor, "B 2048"]) -> Float[Tensor, "B 1008"]:
        """Return the logits of pooled features without the bias (`logits_unbiased`), as the published IS does."""
        return features @ self.network.get_submodule("fc").get_parameter("weight").T

    def logits(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1008"]:
        """Return the bias-free logits of images."""
        return self.classify(self.features(images))

    def forward(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 2048"]:
        """The pooled features of images resized to 299 x 299."""
        return self.features(images)


def _build(path: Path) -> nn.Module:
    from torchmetrics.image.fid import NoTrainInceptionV3  # takes 2 s to import

    try:
        with torch.random.fork_rng(devices=[]):  # its random initialisation is none of the caller's business
            return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path), antialias=False)
    except ModuleNotFoundError as error:
        raise ValueError("package 'torch-fidelity' is missing; install it with 'pip install torch-fidelity'") from error
