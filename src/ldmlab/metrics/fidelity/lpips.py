"""How near pictures come to the truth for a network that has learned to see. Shapes: B pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.autoencoders.perceptual import LpipsBackbone, LpipsLoss, PerceptualLoss
from ldmlab.extractors.base import pass_size
from ldmlab.metrics.base import Metric
from ldmlab.metrics.features import require_finite
from ldmlab.metrics.fidelity.pairs import as_pair
from ldmlab.metrics.standard_errors import NO_VALUES, joined, mean_error, with_values


class PerceptualDistance(Metric):
    """The distance of the feature maps of pictures and truth at their own size, as the mean over pictures.

    Args:
        network: gives distances of pairs; None for EfficientNet-Lite0, which needs no download and compares with
            nothing published.
        suffix: of the network, which ends the label: "LPIPS-lite0".

    Raises:
        ValueError: the package with the weights of EfficientNet-Lite0 is missing or altered.
    """

    higher_is_better = False
    found: Tensor

    def __init__(self, network: LpipsLoss | PerceptualLoss | None = None, suffix: str = "-lite0") -> None:
        super().__init__()
        self.network = network or PerceptualLoss()
        self.label = f"LPIPS{suffix}"
        self.add_state("found", NO_VALUES, dist_reduce_fx=joined)

    def update(self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"], numbers: Sequence[int]) -> None:
        """Take in a batch of the pictures of these numbers, and what they were made of.

        Raises:
            ValueError: they are not uint8 (B, 3, H, W) of one shape, or a distance is NaN, naming the picture.
        """
        found = self.distances(images, truth)
        require_finite("picture", found[:, None], numbers[0])
        self.found = with_values(self.found, found)

    @torch.no_grad()
    def distances(self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
        """The distance of each pair, float64 on the CPU, computed where the network is.

        Raises:
            ValueError: they are not uint8 (B, 3, H, W) of one shape.
        """
        both, device = as_pair(images, truth), next(self.network.network.parameters()).device
        passes = zip(*((each.to(device).float() / 127.5 - 1).split(pass_size(device)) for each in both), strict=True)
        found = torch.cat([self.network(mine, theirs) for mine, theirs in passes])
        return found.to("cpu", torch.float64)

    def compute(self) -> dict[str, float]:
        """The mean: 0 for equal pictures."""
        return {self.label: float(self.found[1])}

    def errors(self) -> dict[str, float]:
        """The standard error of the mean."""
        return {self.label: mean_error(self.found)}

    def networks(self) -> dict[str, str]:
        """The network whose feature maps are compared."""
        return {self.network.name: self.network.weights_sha256}


class LPIPS(PerceptualDistance):
    """LPIPS (Zhang et al., "The Unreasonable Effectiveness of Deep Features", 2018) with its published weights.

    Those of the heads come with torchmetrics, those of the backbone from a local file.

    Args:
        weights: state dict of torchvision's `vgg16`, `alexnet` or `squeezenet1_1`, trained on ImageNet.
        backbone: "vgg", "alex" or "squeeze", which ends the label: "LPIPS-vgg".

    Raises:
        ValueError: an unknown backbone, no path, or a file that is absent or belongs to another network.
    """

    def __init__(self, weights: Path | str | None, backbone: LpipsBackbone = "vgg") -> None:
        super().__init__(LpipsLoss(weights, backbone), f"-{backbone}")
