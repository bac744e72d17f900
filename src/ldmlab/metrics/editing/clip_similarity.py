"""How well an edited picture goes with its prompt.

Shapes: B edits, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import Bool, UInt8
from torch import Tensor

from ldmlab.extractors.clip import CLIP
from ldmlab.metrics.clip_score import clip_scores
from ldmlab.metrics.editing.base import EditMetric, inside


class CLIPSimilarity(EditMetric):
    """100 times the cosine of CLIP's embeddings of the edited picture and its prompt, or 0 where that is negative.

    "CLIP_similarity-clip-MODEL" is of the whole picture, "CLIP_similarity_edited-clip-MODEL" of what an edit may change,
    with black around it.

    Args:
        weights: of the model, .safetensors or .pt; None measures nothing, and remarks that.
        model: an architecture of open_clip; PIE-Bench has OpenAI's ViT-L/14.

    Raises:
        ValueError: the file is absent or another architecture's.
    """

    def __init__(self, weights: Path | str | None = None, model: str = "ViT-L-14-quickgelu") -> None:
        network = None if weights is None else CLIP(model, weights)
        labels = ("CLIP_similarity", "CLIP_similarity_edited")
        super().__init__(*(() if network is None else (f"{label}{network.suffix}" for label in labels)))
        self.network = network

    def networks(self) -> Mapping[str, str]:
        """The network that it measures with, and the checksum of its weights."""
        return {} if self.network is None else {self.network.name: self.network.weights_sha256}

    def update(self, images: UInt8[Tensor, "B 3 H W"], mask: Bool[Tensor, "B H W"], captions: Sequence[str]) -> None:
        """Take in edits, see `EditMetric`; on the device of the images.

        Raises:
            ValueError: there are no weights.
        """
        if self.network is None:
            raise ValueError("CLIP similarity: there are no weights to measure with; give weights=FILE")
        network = self.network.to(images.device)
        texts = self.network.text_features(captions)
        self.add(*(clip_scores(network.features(pictures), texts) for pictures in (images, inside(images, mask))))

    def remarks(self) -> list[str]:
        """What is left out."""
        if self.network is None:
            return ["CLIP similarity is left out for want of weights (clip_similarity.weights=FILE of OpenAI's ViT-L/14)"]
        return super().remarks()
