"""timm's networks as extractors: with logits, or without."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from ldmlab.extractors.base import Classifier, SpatialExtractor, TextExtractor
from ldmlab.extractors.timm_network import TimmNetwork
from ldmlab.pretrained.weights import sha256_of


def stored(name: str, folder: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(timm.create_model(name).state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


@pytest.mark.parametrize(("name", "classifies"), [("test_vit", True), ("deit_tiny_distilled_patch16_224", False)])
def test_logits_are_there_where_the_network_has_some(name: str, classifies: bool, tmp_path: Path) -> None:
    weights = stored(name, tmp_path)
    extractor = TimmNetwork(name, weights)
    assert (extractor.name, extractor.suffix) == (f"timm-{name}", f"-{name}")
    assert extractor.weights_sha256 == sha256_of(weights)
    assert isinstance(extractor, Classifier) == classifies
    assert not isinstance(extractor, SpatialExtractor | TextExtractor)


def test_logits_follow_from_features(tmp_path: Path) -> None:
    extractor = TimmNetwork("test_vit", stored("test_vit", tmp_path))
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = extractor.features(images)
    assert isinstance(extractor, Classifier)
    logits = extractor.logits(features.double().float())
    assert logits.shape == (3, 1000)
    assert not logits.requires_grad
