"""How different what an edit leaves as it was looks to a network: both pictures are black where it may change them.

Shapes: B edits, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jaxtyping import Bool, UInt8
from torch import Tensor

from ldmlab.autoencoders.perceptual import LpipsBackbone, LpipsLoss, PerceptualLoss
from ldmlab.metrics.editing.base import EditMetric, outside, where_outside


class BackgroundLPIPS(EditMetric):
    """LPIPS outside the mask (Zhang et al. 2018), called after its network: "LPIPS-squeeze" is PIE-Bench's.

    Without weights it is the distance of EfficientNet-Lite0's feature maps, "LPIPS-lite0", which compares with nothing
    published.

    Args:
        weights: state dict of torchvision's squeezenet1_1 (or alexnet, vgg16), trained on ImageNet; None for Lite0.
        backbone: "squeeze", "alex" or "vgg".

    Raises:
        ValueError: the file is absent, or belongs to another network.
    """

    higher_is_better = False

    def __init__(self, weights: Path | str | None = None, backbone: LpipsBackbone = "squeeze") -> None:
        super().__init__("LPIPS-lite0" if weights is None else f"LPIPS-{backbone}")
        self.network = PerceptualLoss() if weights is None else LpipsLoss(weights, backbone)

    def networks(self) -> Mapping[str, str]:
        """The network that it measures with, and the checksum of its weights."""
        return {self.network.name: self.network.weights_sha256}

    def update(
        self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"], mask: Bool[Tensor, "B H W"]
    ) -> None:
        """Take in edits, see `EditMetric`; on the device of the images."""
        self.network.to(images.device)
        pair = (outside(pictures, mask).float() / 127.5 - 1 for pictures in (images, truth))
        self.add(where_outside(self.network(*pair), mask))
