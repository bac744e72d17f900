"""timm's networks as extractors: with logits, or without."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from ldmlab.extractors.base import Classifier, SpatialExtractor, TextExtractor
from ldmlab.extractors.timm_network import TimmNetwork
from ldmlab.pretrained import timm_network
from ldmlab.pretrained.weights import sha256_of


def stored(name: str, folder: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(timm.create_model(name).state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


@pytest.mark.parametrize("classifies", [True, False])
def test_logits_are_there_where_the_network_has_some(
    classifies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = stored("test_vit", tmp_path)
    monkeypatch.setattr(timm_network.TimmNetwork, "_is_classified_by_a_layer", lambda *_: classifies)
    extractor = TimmNetwork("test_vit", weights)
    assert (extractor.name, extractor.suffix) == ("timm-test_vit", "-test_vit")
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
