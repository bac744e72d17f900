"""How well pictures go with their captions, by a network that knows both."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric
from ldmlab.metrics.features import require_finite
from ldmlab.metrics.standard_errors import NO_VALUES, joined, mean_error, with_values


class CLIPScore(Metric):
    """100 times the cosine between the embeddings of a picture and its caption, or 0 where negative; the mean of all.

    Hessel et al., "CLIPScore: A Reference-free Evaluation Metric for Image Captioning" (2021), with the weight 100 of
    the text-to-image papers in the place of 2.5, and captions as they are, without "A photo depicts".

    Args:
        extractor: has features of pictures and of texts; None for the one that is chosen for all metrics.
    """

    higher_is_better = True
    scores: Tensor

    def __init__(self, extractor: FeatureExtractor | None = None) -> None:
        super().__init__(extractor)
        self.add_state("scores", NO_VALUES, dist_reduce_fx=joined)

    def update(
        self, features: Float[Tensor, "B F"], text_features: Float[Tensor, "B F"], numbers: Sequence[int]
    ) -> None:
        """Take in the embeddings of a batch of the pictures of these numbers, and of their captions.

        Raises:
            ValueError: one is NaN or infinite, naming the picture or the caption.
        """
        require_finite("picture", features, numbers[0])
        require_finite("caption", text_features, numbers[0])
        self.scores = with_values(self.scores, clip_scores(features, text_features))

    def compute(self) -> dict[str, float]:
        """The mean, from 0 to 100."""
        return {self._label: float(self.scores[1])}

    def errors(self) -> dict[str, float]:
        """The standard error of the mean."""
        return {self._label: mean_error(self.scores)}

    @property
    def _label(self) -> str:
        return f"CLIP_score{self.announced.suffix}"


def clip_scores(pictures: Float[Tensor, "B F"], texts: Float[Tensor, "B F"]) -> Float[Tensor, " B"]:
    """The score of each picture and its text, float64 on the CPU."""
    mine, theirs = (normalize(each.detach().to("cpu", torch.float64), dim=1) for each in (pictures, texts))
    return 100 * (mine * theirs).sum(dim=1).clamp(min=0)
