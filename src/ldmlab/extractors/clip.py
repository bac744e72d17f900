"""CLIP as an extractor, of pictures and of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.extractors.base import NetworkExtractor, pass_size
from ldmlab.pretrained import clip
from ldmlab.pretrained.weights import sha256_of


class CLIP(NetworkExtractor[clip.CLIP]):
    """CLIP's joint space of pictures and texts, through open_clip; see `ldmlab.pretrained.clip`.

    Args:
        model: an open_clip architecture, for example "ViT-B-32-quickgelu" for OpenAI's weights.
        weights: path of its weights, .safetensors or .pt.

    Raises:
        ValueError: no path is given, or the file is absent or another architecture's.
    """

    def __init__(self, model: str, weights: Path | str | None) -> None:
        super().__init__(clip.CLIP(model, weights))
        self.name = f"clip-{model}"
        self.suffix = f"-clip-{model}"
        self.weights_sha256 = sha256_of(str(weights))

    @torch.no_grad()
    def text_features(self, captions: Sequence[str]) -> Float[Tensor, "B F"]:
        """Return one feature vector a caption, which is cut after 77 tokens, on the extractor's device."""
        size = pass_size(self.device)
        parts = [captions[first : first + size] for first in range(0, len(captions), size)]
        return torch.cat([self.network.text_features(part) for part in parts])
