"""Any of timm's networks by name, from a local weights file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ldmlab.pretrained.pixels import normalised
from ldmlab.pretrained.weights import load_tensors, require_file


class TimmNetwork(nn.Module):
    """Frozen network, always in evaluation mode; images are resized, cut and normalised as timm's evaluation does.

    Its features are what its last layer reads, pooled.

    Args:
        model: name of timm's, for example "resnet50" or "vit_base_patch16_224.augreg_in21k_ft_in1k".
        weights: local file with its state dict, .safetensors or a file of `torch.save`.

    Attributes:
        classifies: whether logits follow from the features by a last layer.

    Raises:
        ValueError: an unknown model, no path, or a file that is absent or another model's.
    """

    def __init__(self, model: str, weights: Path | str | None) -> None:
        import timm
        from timm.data import create_transform, resolve_model_data_config

        super().__init__()
        path = require_file(weights, f"give the path of timm's weights of {model}, .safetensors or .pth")
        if not timm.is_model(model):
            raise ValueError(f"model={model}: timm lacks it; choose one of timm.list_models()")
        self.network: Any = _filled(model, path).requires_grad_(False).to(memory_format=torch.channels_last)
        self.eval()
        config = resolve_model_data_config(self.network)
        self._mean, self._std = config["mean"], config["std"]
        self._cut = create_transform(**config, normalize=False)
        self.classifies = self._is_classified_by_a_layer(config["input_size"])

    def train(self, mode: bool = True) -> TimmNetwork:
        """Stay in evaluation mode whatever the parent does."""
        return super().train(False)

    def features(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B F"]:
        """The pooled features of images."""
        return self._features(normalised(self._cut(images), self._mean, self._std))

    def classify(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """The logits of pooled features, where the network `classifies`."""
        return self.network.get_classifier()(features)

    def forward(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B F"]:
        """The pooled features of images."""
        return self.features(images)

    def _features(self, pixels: Float[Tensor, "B 3 N N"]) -> Float[Tensor, "B F"]:
        maps = self.network.forward_features(pixels.contiguous(memory_format=torch.channels_last))
        return self.network.forward_head(maps, pre_logits=True).flatten(1)

    @torch.no_grad()
    def _is_classified_by_a_layer(self, shape: tuple[int, ...]) -> bool:
        """Not all are: some have no classes, some two heads, and some compute on after what they call features."""
        if not isinstance(self.network.get_classifier(), nn.Linear):
            return False
        pixels = torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(1, *shape)
        features, wanted = self._features(pixels), self.network(pixels)
        return features.shape[1] == self.network.get_classifier().in_features and torch.allclose(
            self.classify(features), wanted, rtol=1e-3, atol=1e-3
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without timm's word that it loads what it was given."""
    log = logging.getLogger("timm")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def _filled(model: str, path: Path) -> nn.Module:
    """The network with the file's weights, which timm brings to their present names and shapes itself."""
    import timm

    given = {"state_dict": load_tensors(path), "custom_load": False}
    try:
        with (
            _quiet(),
            torch.random.fork_rng(devices=[]),
        ):  # the random weights before loading are none of the caller's business
            return timm.create_model(model, pretrained=True, pretrained_cfg_overlay=given)
    except Exception as error:  # what does not fit fails in each model's own way
        reason = str(error).partition("\n")[0]
        raise ValueError(f"weights file '{path}' is not one of timm's {model} ({reason}); give that model's") from error
