"""How well an edited picture goes with its prompt.

Shapes: B edits, F features, H x W pixels.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.clip_score import clip_scores
from ldmlab.metrics.editing.base import EditMetric, inside
from ldmlab.metrics.features import require_finite


class CLIPSimilarity(EditMetric):
    """100 times the cosine of the features of an edited picture and of its prompt, or 0 where that is negative.

    "CLIP_similarity-clip-MODEL" is of the whole picture, "CLIP_similarity_edited-clip-MODEL" of what an edit may
    change, with black around it. PIE-Bench has OpenAI's ViT-L/14.

    Args:
        extractor: of features of pictures and of texts.
    """

    higher_is_better = True

    extractor: FeatureExtractor

    def __init__(self, extractor: FeatureExtractor) -> None:
        labels = (f"{label}{extractor.suffix}" for label in ("CLIP_similarity", "CLIP_similarity_edited"))
        super().__init__(*labels, extractor=extractor)

    def update(
        self,
        images: UInt8[Tensor, "B 3 H W"],
        mask: Bool[Tensor, "B H W"],
        features: Float[Tensor, "B F"],
        text_features: Float[Tensor, "B F"],
    ) -> None:
        """Take in edits, see `EditMetric`, with the features of their pictures and prompts.

        Raises:
            ValueError: features that are not finite.
        """
        edited = self.extractor.features(inside(images, mask))
        for each in (features, edited, text_features):
            require_finite("edit", each)
        self.add(clip_scores(features, text_features), clip_scores(edited, text_features))
