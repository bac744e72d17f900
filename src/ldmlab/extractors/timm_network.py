"""Any of timm's networks as an extractor."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.extractors.base import NetworkExtractor
from ldmlab.pretrained import timm_network
from ldmlab.pretrained.weights import sha256_of


class TimmNetwork(NetworkExtractor[timm_network.TimmNetwork]):
    """A network of timm by name; it gives logits where the network has some, see `ldmlab.pretrained.timm_network`.

    Args:
        model: name of timm's, for example "resnet50".
        weights: path of its weights, .safetensors or .pth.

    Raises:
        ValueError: an unknown model, no path, or the file is absent or another model's.
    """

    def __init__(self, model: str, weights: Path | str | None) -> None:
        super().__init__(timm_network.TimmNetwork(model, weights))
        self.name = f"timm-{model}"
        self.suffix = f"-{model}"
        self.weights_sha256 = sha256_of(str(weights))
        if self.network.classifies:
            self.logits = self._logits

    @torch.no_grad()
    def _logits(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        return self.network.classify(features.to(self.device))
