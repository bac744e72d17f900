"""EfficientNet-Lite0 as an extractor."""

from __future__ import annotations

from ldmlab.extractors.base import ClassifyingExtractor
from ldmlab.pretrained import efficientnet


class EfficientNetLite0(ClassifyingExtractor[efficientnet.EfficientNetLite0]):
    """EfficientNet-Lite0, 1280 features and 1000 classes: needs no download, compares with nothing published.

    Raises:
        ValueError: the package with the weights is missing or altered.
    """

    name = "efficientnet-lite0"
    suffix = "-lite0"
    weights_sha256 = efficientnet.WEIGHTS_SHA256

    def __init__(self) -> None:
        super().__init__(efficientnet.EfficientNetLite0())
