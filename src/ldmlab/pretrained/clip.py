"""CLIP through open_clip, from a local weights file (Radford et al., "Learning Transferable Visual Models", 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ldmlab.pretrained.pixels import centred, normalised
from ldmlab.pretrained.weights import load_tensors, require_file

if TYPE_CHECKING:
    from open_clip import model as open_clip_model

_NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size"}
"""What OpenAI's own files hold besides."""


class CLIP(nn.Module):
    """Frozen image and text towers of one space, always in evaluation mode.

    Args:
        model: an open_clip architecture with CLIP's tokens, for example "ViT-B-32-quickgelu" for OpenAI's weights.
        weights: local file with its state dict, .safetensors or a file of `torch.save`.

    Raises:
        ValueError: an unknown or unfit architecture, no path, or a file that is absent or another architecture's.
    """

    def __init__(self, model: str, weights: Path | str | None) -> None:
        super().__init__()
        config = _config(model)
        path = require_file(weights, f"give the path of open_clip's weights of {model}, .safetensors or .pt")
        self.network = _filled(config, model, path).requires_grad_(False)
        size = self.network.visual.image_size
        self.size: int = size[0] if isinstance(size, Sequence) else size
        self.context_length = config["text_cfg"].get("context_length", 77)
        self.eval()

    def train(self, mode: bool = True) -> CLIP:
        """Stay in evaluation mode whatever the parent does."""
        return super().train(False)

    def features(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B F"]:
        """The embeddings of images as CLIP sees them: the shorter side resized, the middle cut out."""
        from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

        pixels = normalised(centred(images, self.size), OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
        return self.network.encode_image(pixels)

    def text_features(self, captions: Sequence[str]) -> Float[Tensor, "B F"]:
        """The embeddings of texts, which are cut after as many tokens as the network reads."""
        from open_clip.tokenizer import SimpleTokenizer

        tokens = SimpleTokenizer(context_length=self.context_length)(list(captions))
        return self.network.encode_text(tokens.to(self.network.positional_embedding.device))

    def forward(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B F"]:
        """The embeddings of images."""
        return self.features(images)


def _config(model: str) -> dict[str, Any]:
    """open_clip's description of an architecture whose text tower reads CLIP's tokens."""
    import open_clip

    config: dict[str, Any] | None = open_clip.get_model_config(model) if model in open_clip.list_models() else None
    if config is None:
        raise ValueError(f"model={model}: open_clip lacks it; choose one of open_clip.list_models()")
    text = config["text_cfg"]
    if config.pop("custom_text", False) or any(name.startswith("hf_") for name in text) or "multimodal_cfg" in config:
        raise ValueError(f"model={model}: its text tower is not CLIP's; choose one like ViT-B-32-quickgelu")
    return config


def _filled(config: Mapping[str, Any], model: str, path: Path) -> open_clip_model.CLIP:
    from open_clip import model as open_clip_model

    with torch.random.fork_rng(devices=[]):  # the random weights before loading are none of the caller's business
        network = open_clip_model.CLIP(**config)
    state = {name: tensor for name, tensor in load_tensors(path).items() if name not in _NOT_WEIGHTS}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"weights file '{path}' is not one of {model}; give that architecture's") from error
    return network
