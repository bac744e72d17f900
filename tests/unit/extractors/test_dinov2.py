"""DINOv2 as an extractor."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from timm.models import vision_transformer

from ldmlab.extractors.base import Classifier
from ldmlab.extractors.dinov2 import DINOv2
from ldmlab.pretrained.weights import sha256_of


def test_figures_say_which_dinov2_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(vision_transformer.vit_small_patch14_dinov2, embed_dim=24, num_heads=2, depth=1)
    monkeypatch.setattr(vision_transformer, "vit_small_patch14_dinov2", small)
    with torch.random.fork_rng(devices=[]):
        torch.save(small().state_dict(), tmp_path / "weights.pth")
    extractor = DINOv2("vits14", tmp_path / "weights.pth")
    assert (extractor.name, extractor.suffix) == ("dinov2-vits14", "-dinov2-vits14")
    assert extractor.weights_sha256 == sha256_of(tmp_path / "weights.pth")
    assert not isinstance(extractor, Classifier)
    assert extractor.features(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape == (2, 24)
