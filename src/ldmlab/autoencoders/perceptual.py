"""Perceptual distances between images, for the reconstruction loss.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018): feature maps of a
frozen network, each position normalised to unit length over the channels, compared by squared difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.pretrained.efficientnet import WEIGHTS_SHA256, EfficientNetLite0
from ldmlab.pretrained.weights import load_tensors, require_file, sha256_of

LpipsBackbone = Literal["alex", "vgg", "squeeze"]
_TORCHVISION_NAMES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
_LEAST = {"alex": 31, "vgg": 16, "squeeze": 17}
"""Pixels that a side of a picture must have for there to be a last feature map."""
Network = TypeVar("Network", bound=nn.Module)


class _OutsideLoss(nn.Module, Generic[Network]):
    """Holds a frozen network outside the module tree.

    Its weights stay out of the owner's `parameters()` and `state_dict()` (so out of the optimizer, of EMA and of
    checkpoints) and out of `train()`, but follow the owner's device and dtype.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        network.requires_grad_(False).eval()
        self._outside = (network,)

    @property
    def network(self) -> Network:
        """The frozen network."""
        return self._outside[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self._outside[0]._apply(fn, recurse)
        return super()._apply(fn, recurse)


class PerceptualLoss(_OutsideLoss[EfficientNetLite0]):
    """Perceptual distance over four stages of EfficientNet-Lite0, all channels and stages of equal weight.

    Attributes:
        name: of the network.
        weights_sha256: checksum of its weights.

    Raises:
        ValueError: the package with the weights is missing or altered.
    """

    name = "efficientnet-lite0"
    weights_sha256 = WEIGHTS_SHA256

    def __init__(self) -> None:
        super().__init__(EfficientNetLite0())

    def forward(self, images: Float[Tensor, "B 3 H W"], targets: Float[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
        """Return one distance a pair of images in [-1, 1]: 0 for equal ones, at most 4."""
        network = self.network
        pairs = zip(network.stages(images), network.stages(targets), strict=True)
        distances = [(_unit(mine) - _unit(theirs)).square().sum(1).mean((1, 2)) for mine, theirs in pairs]
        return sum(distances[1:], start=distances[0]) / len(distances)


class LpipsLoss(_OutsideLoss[nn.Module]):
    """LPIPS with the learned heads that torchmetrics ships, on a torchvision backbone from a local weights file.

    Args:
        weights: state dict of torchvision's `alexnet`, `vgg16` or `squeezenet1_1`, trained on ImageNet.
        backbone: "alex", "vgg" or "squeeze".

    Attributes:
        name: of the network.

    Raises:
        ValueError: an unknown backbone, no path, or a weights file that is absent or belongs to another network.
    """

    def __init__(self, weights: Path | str | None, backbone: LpipsBackbone = "vgg") -> None:
        super().__init__(_lpips_network(weights, backbone))
        self.name = f"lpips-{backbone}"
        self.backbone = backbone
        self._path = str(weights)

    @property
    def weights_sha256(self) -> str:
        """Checksum of the backbone's weights file, which is read for it."""
        return sha256_of(self._path)

    def forward(self, images: Float[Tensor, "B 3 H W"], targets: Float[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
        """Return one LPIPS distance a pair of images in [-1, 1].

        Raises:
            ValueError: the images are too small for the backbone.
        """
        least = _LEAST[self.backbone]
        if min(images.shape[2:]) < least:
            raise ValueError(
                f"images are {tuple(images.shape[2:])} pixels; {self.name} needs at least {least} a side: take larger "
                "ones, or EfficientNet-Lite0's distance"
            )
        return self.network(images, targets).flatten()


def _unit(maps: Tensor) -> Tensor:
    """Normalise over the channels; the epsilon keeps the gradient finite where all of them are 0."""
    maps = maps.float()
    return maps * (maps.square().sum(1, keepdim=True) + 1e-8).rsqrt()


def _lpips_network(weights: Path | str | None, backbone: LpipsBackbone) -> nn.Module:
    if backbone not in _TORCHVISION_NAMES:
        raise ValueError(f"backbone is '{backbone}'; choose one of {', '.join(_TORCHVISION_NAMES)}")
    name = _TORCHVISION_NAMES[backbone]
    fix = f"save the state dict of torchvision's {name} there"
    path = require_file(weights, f"{fix}, or take loss=reconstruction or metric=lpips_lite0, which need no file")
    from torchmetrics.functional.image.lpips import _LPIPS  # takes 2 s to import, and few runs need it

    with torch.random.fork_rng(devices=[]):  # the random weights before loading are none of the caller's business
        network = _LPIPS(net=backbone, pnet_rand=True)
    given = load_tensors(path)
    wanted = network.net.state_dict()
    found = {key: given.get(re.sub(r"^slices?\.?\d+\.", "features.", key)) for key in wanted}
    unfit = [key for key, value in found.items() if value is None or value.shape != wanted[key].shape]
    if unfit:
        raise ValueError(f"weights file '{path}' does not fit {name} at '{unfit[0]}'; give torchvision's {name}")
    network.net.load_state_dict(found)
    return network
