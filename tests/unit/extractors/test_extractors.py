"""The extractors' labels, and that passes of any size give the same features."""

from __future__ import annotations

import pytest
import torch

from ldmlab.extractors import base
from ldmlab.extractors.efficientnet_lite0 import EfficientNetLite0
from ldmlab.extractors.inception import Inception2015


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def lite0() -> EfficientNetLite0:
    return EfficientNetLite0()


def test_only_the_inception_gives_the_published_names() -> None:
    assert Inception2015.suffix == ""
    assert EfficientNetLite0.suffix == "-lite0"
    assert EfficientNetLite0.weights_sha256.startswith("579344248a93")
    assert Inception2015.weights_sha256.startswith("6726825d")


def test_the_size_of_a_pass_does_not_matter(
    lite0: EfficientNetLite0, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=generator)
    whole = lite0.features(images)
    monkeypatch.setattr(base, "CPU_BATCH", 5)
    torch.testing.assert_close(lite0.features(images), whole, rtol=1e-4, atol=1e-4)
    assert lite0.logits(whole).shape == (5, 1000)
    assert not whole.requires_grad


@pytest.mark.parametrize("images", [torch.rand(1, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)])
def test_other_images_are_refused(lite0: EfficientNetLite0, images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"give uint8 \(B, 3, H, W\)"):
        lite0.features(images)


def test_the_inception_without_its_file_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match="weights is null; give the path of weights-inception-2015"):
        Inception2015(None)


@pytest.mark.gpu
def test_cpu_and_gpu_agree(generator: torch.Generator) -> None:
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=generator)
    expected = EfficientNetLite0().features(images)
    torch.testing.assert_close(EfficientNetLite0().to("cuda").features(images).cpu(), expected, rtol=1e-2, atol=1e-2)
