"""The networks that both sides pass pictures through, as torch-fidelity is told of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.extractors.efficientnet_lite0 import EfficientNetLite0

pytest.importorskip("torch_fidelity", exc_type=ImportError)

from torch_fidelity.feature_extractor_base import FeatureExtractorBase

LITE0 = "efficientnet-lite0"


class Lite0(FeatureExtractorBase):
    """Our extractor's network, as one of torch-fidelity's, which passes as many pictures at once as that chooses."""

    def __init__(self, name: str, features_list: list[str], **settings: Any) -> None:
        super().__init__(name, features_list)
        self.extractor = EfficientNetLite0()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found = {"features": self.extractor.network.features(images)}
        found["logits"] = self.extractor.logits(found["features"])
        return tuple(found[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "features", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "features"

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        return torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
