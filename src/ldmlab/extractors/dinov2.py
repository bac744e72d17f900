"""DINOv2 as an extractor."""

from __future__ import annotations

from pathlib import Path

from ldmlab.extractors.base import NetworkExtractor
from ldmlab.pretrained import dinov2
from ldmlab.pretrained.weights import sha256_of


class DINOv2(NetworkExtractor[dinov2.DINOv2]):
    """DINOv2's class token, which Stein et al. (2023) found nearest to what people see; see `ldmlab.pretrained.dinov2`.

    Args:
        model: "vits14", "vitb14", "vitl14", which published figures use, or "vitg14".
        weights: path of its weights, Facebook's or timm's.

    Raises:
        ValueError: no path is given, or the file is absent or another model's.
    """

    def __init__(self, model: str, weights: Path | str | None) -> None:
        super().__init__(dinov2.DINOv2(model, weights))
        self.name = f"dinov2-{model}"
        self.suffix = f"-dinov2-{model}"
        self.weights_sha256 = sha256_of(str(weights))
