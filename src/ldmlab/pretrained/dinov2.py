"""DINOv2 through timm, from a local weights file (Oquab et al., "DINOv2: Learning Robust Visual Features", 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ldmlab.pretrained.pixels import normalised, squashed
from ldmlab.pretrained.weights import load_tensors, require_file

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

INPUT_SIZE = 224
PATCH = 14
MODELS = {
    "vits14": "vit_small_patch14_dinov2",
    "vitb14": "vit_base_patch14_dinov2",
    "vitl14": "vit_large_patch14_dinov2",
    "vitg14": "vit_giant_patch14_dinov2",
}
"""What Facebook calls the sizes, and timm."""
OFFSET = 0.1
"""What the original adds to the side of the grid before it scales the positions, which shifts them a little."""


class DINOv2(nn.Module):
    """Frozen vision Transformer, always in evaluation mode; its features are the class token after the last norm.

    Images are resized to 224 x 224 as in Stein et al., "Exposing flaws of generative model evaluation metrics" (2023):
    bicubic and antialiased, whatever their shape. Positions, trained at 518 pixels, are scaled as the original does.

    Args:
        model: "vits14", "vitb14", "vitl14" or "vitg14".
        weights: local file with the state dict, as Facebook publishes it or as timm does.

    Raises:
        ValueError: an unknown model, no path, or a file that is absent or another model's.
    """

    def __init__(self, model: str, weights: Path | str | None) -> None:
        super().__init__()
        if model not in MODELS:
            raise ValueError(f"model={model}: choose one of {', '.join(MODELS)}")
        path = require_file(weights, f"give the path of dinov2_{model}_pretrain.pth, or of timm's {MODELS[model]}")
        self.network = _filled(model, path).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> DINOv2:
        """Stay in evaluation mode whatever the parent does."""
        return super().train(False)

    def features(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B F"]:
        """The class tokens of images."""
        from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

        pixels = normalised(squashed(images, INPUT_SIZE), IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        return self.network.forward_head(self.network.forward_features(pixels), pre_logits=True)

    def forward(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B F"]:
        """The class tokens of images."""
        return self.features(images)


def _filled(model: str, path: Path) -> VisionTransformer:
    from timm.models import vision_transformer

    state = {name: tensor.float() for name, tensor in load_tensors(path).items()}
    with torch.device("meta"):  # no random weights: building draws nothing from the global generator
        network: VisionTransformer = getattr(vision_transformer, MODELS[model])(img_size=INPUT_SIZE)
    try:
        fitted = vision_transformer.checkpoint_filter_fn(_at_224(state), network)
        network.load_state_dict(fitted, assign=True)
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"weights file '{path}' is not one of DINOv2's {model}; give that model's") from error
    return network


def _at_224(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with positions for the grid at 224 pixels."""
    positions, side = state["pos_embed"], INPUT_SIZE // PATCH
    trained = round((positions.shape[1] - 1) ** 0.5)
    if trained == side:
        return dict(state)
    grid = positions[:, 1:].unflatten(1, (trained, trained)).permute(0, 3, 1, 2)
    scale = (side + OFFSET) / trained
    grid = interpolate(grid, scale_factor=(scale, scale), mode="bicubic").permute(0, 2, 3, 1).flatten(1, 2)
    return {**state, "pos_embed": torch.cat([positions[:, :1], grid], dim=1)}
