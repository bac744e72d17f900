"""The Inception of 2015 on a randomly initialised file of the right layout, against torch-fidelity's own network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ldmlab.pretrained import inception
from ldmlab.pretrained.inception import Inception2015
from ldmlab.pretrained.weights import sha256_of

from ...bench.random_inception import write_random_inception

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


def test_agrees_with_torch_fidelity(network: Inception2015, weights: Path, images: Tensor) -> None:
    """The spatial features too: of mixed_6/conv the first 7 channels, channels last, as ADM's evaluator has them."""
    reference = fidelity.FeatureExtractorInceptionV3("reference", ["2048", "logits_unbiased"], str(weights))
    maps: list[Tensor] = []
    reference.Mixed_6d.branch1x1.register_forward_hook(lambda _module, _given, output: maps.append(output))
    features, logits = reference(images)
    found, spatial = network.with_spatial(images)
    torch.testing.assert_close(found, features)
    torch.testing.assert_close(network.classify(found), logits)
    torch.testing.assert_close(spatial, torch.stack([maps[0][:, each] for each in range(7)], dim=-1).flatten(1))
    assert features.shape == (2, inception.FEATURES)
    assert logits.shape == (2, inception.CLASSES)
    assert spatial.shape == (2, inception.SPATIAL_FEATURES) == (2, 2023)
    assert network.network.get_submodule(inception.SPATIAL_LAYER)._forward_hooks == {}


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
