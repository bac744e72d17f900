"""What one network tells of batches of images, in as few passes as there are images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ldmlab.extractors.base import Classifier, FeatureExtractor, SpatialExtractor, TextExtractor


class FeatureSource:
    """A network as a feed asks it.

    Args:
        extractor: the network.
        key: tells it from other networks of the feed.

    Attributes:
        wanted: names of all that is read of it: "features", "spatial", "logits", "text_features".
    """

    def __init__(self, extractor: FeatureExtractor, key: str) -> None:
        self.extractor = extractor
        self.key = key
        self.wanted: set[str] = set()

    @property
    def name(self) -> str:
        """The name of the network."""
        return self.extractor.name

    @property
    def reads_texts(self) -> bool:
        """Whether the network has features of texts, for which there have to be captions."""
        return isinstance(self.extractor, TextExtractor)

    def offers(self, given: Collection[str]) -> set[str]:
        """The names of what can be read of it.

        Args:
            given: what is known of pictures.
        """
        if "images" not in given:
            return set()
        offered = {"features"}
        if isinstance(self.extractor, Classifier):
            offered.add("logits")
        if isinstance(self.extractor, SpatialExtractor):
            offered.add("spatial")
        if self.reads_texts and "captions" in given:
            offered.add("text_features")
        return offered

    def tell(self, given: Mapping[str, Any], whole: Collection[str]) -> dict[str, Tensor]:
        """What is read of a batch.

        Args:
            given: `images`, uint8 (B, 3, H, W), and `captions` where texts are read.
            whole: what is read of the batch rather than of blocks; logits are taken for these alone.
        """
        told: dict[str, Tensor] = {}
        if "spatial" in self.wanted and isinstance(self.extractor, SpatialExtractor):
            told["features"], told["spatial"] = self.extractor.with_spatial(given["images"])
        elif self.wanted & {"features", "logits"}:
            told["features"] = self.extractor.features(given["images"])
        if "logits" in whole and isinstance(self.extractor, Classifier):
            told["logits"] = self.extractor.logits(told["features"])
        if "text_features" in self.wanted and isinstance(self.extractor, TextExtractor):
            told["text_features"] = self.extractor.text_features(given["captions"])
        return told

    def logits(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """The class logits of a block of features."""
        assert isinstance(self.extractor, Classifier)
        return self.extractor.logits(features.float())
