"""The Inception of 2015 on a randomly initialised file of the right layout, against torch-fidelity's own network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.pretrained import inception
from ldmlab.pretrained.inception import Inception2015
from ldmlab.pretrained.weights import sha256_of

from ...random_inception import write_random_inception

pytest.importorskip("torch_fidelity", exc_type=ImportError)

from torch_fidelity import feature_extractor_inceptionv3 as fidelity


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = write_random_inception(tmp_path_factory.mktemp("inception") / inception.WEIGHTS_FILE)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def network(weights: Path) -> Inception2015:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "WEIGHTS_SHA256", sha256_of(weights))
        before = torch.get_rng_state()
        network = Inception2015(weights)
    assert torch.equal(torch.get_rng_state(), before)
    return network


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def reference(weights: Path) -> Any:
    return fidelity.FeatureExtractorInceptionV3("reference", ["2048", "logits_unbiased"], str(weights))


def test_agrees_with_torch_fidelity(network: Inception2015, reference: Any, images: Tensor) -> None:
    features, logits = reference(images)
    torch.testing.assert_close(network(images), features)
    torch.testing.assert_close(network.logits(images), logits)
    assert features.shape == (2, inception.FEATURES)
    assert logits.shape == (2, inception.CLASSES)


def test_spatial_features_are_those_of_the_evaluator_of_adm(
    network: Inception2015, reference: Any, images: Tensor
) -> None:
    """Of mixed_6/conv the first 7 channels, channels last, from torch-fidelity's layers one by one."""
    x = (
        fidelity.interpolate_bilinear_2d_like_tensorflow1x(images.float(), (299, 299), align_corners=False) - 128
    ) / 128
    for name, layer in reference.named_children():
        if name == "Mixed_6d":
            break
        x = layer(x)
    wanted = layer.branch1x1(x).permute(0, 2, 3, 1)[..., :7].reshape(len(images), -1)
    features, spatial = network.with_spatial(images)
    assert spatial.shape == (2, inception.SPATIAL_FEATURES) == (2, 2023)
    torch.testing.assert_close(spatial, wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(features, network(images))


def test_is_frozen_and_stays_in_evaluation_mode(network: Inception2015) -> None:
    torch.nn.Sequential(network).train()
    assert not any(module.training for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())


def test_float_images_are_refused(network: Inception2015) -> None:
    with pytest.raises(ValueError, match="takes uint8"):
        network.features(torch.rand(1, 3, 8, 8))


def test_another_file_is_refused_before_it_is_unpickled(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("the file was opened"))
    with pytest.raises(ValueError, match=r"has sha256 .* expected 6726825d0af5"):
        Inception2015(weights)


@pytest.mark.parametrize("path", [None, "absent.pth"])
def test_an_absent_file_is_one_clear_line(path: str | None) -> None:
    with pytest.raises(ValueError, match=r"weights-inception-2015-12-05-6726825d\.pth.*efficientnet_lite0"):
        Inception2015(path)
