"""CLIP as an extractor of pictures and texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ldmlab.extractors import base
from ldmlab.extractors.base import Classifier, FeatureExtractor, TextExtractor
from ldmlab.extractors.clip import CLIP
from ldmlab.pretrained.weights import sha256_of

from ...tiny_clip import NAME, tiny_clip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))[1]


def test_figures_say_which_clip_it_is(weights: Path) -> None:
    extractor = CLIP(NAME, weights)
    assert (extractor.name, extractor.suffix) == (f"clip-{NAME}", f"-clip-{NAME}")
    assert extractor.weights_sha256 == sha256_of(weights)
    assert isinstance(extractor, FeatureExtractor)
    assert isinstance(extractor, TextExtractor)
    assert not isinstance(extractor, Classifier)


def test_the_size_of_a_pass_does_not_matter(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = CLIP(NAME, weights)
    images = torch.randint(0, 256, (5, 3, 40, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    captions = [f"{number} red circles" for number in range(5)]
    whole, texts = extractor.features(images), extractor.text_features(captions)
    monkeypatch.setattr(base, "CPU_BATCH", 5)
    torch.testing.assert_close(extractor.features(images), whole)
    torch.testing.assert_close(extractor.text_features(captions), texts)
    assert whole.shape == texts.shape == (5, 12)
    assert not whole.requires_grad | texts.requires_grad


def test_other_images_are_refused(weights: Path) -> None:
    with pytest.raises(ValueError, match=r"give uint8 \(B, 3, H, W\)"):
        CLIP(NAME, weights).features(torch.rand(1, 3, 8, 8))


@pytest.mark.gpu
def test_cpu_and_gpu_agree(weights: Path) -> None:
    images = torch.randint(0, 256, (3, 3, 40, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    there, here = CLIP(NAME, weights).to("cuda"), CLIP(NAME, weights)
    torch.testing.assert_close(there.features(images).cpu(), here.features(images), rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(there.text_features(["a"]).cpu(), here.text_features(["a"]), rtol=1e-2, atol=1e-2)
