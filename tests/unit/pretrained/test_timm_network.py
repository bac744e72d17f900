"""timm's networks from a local file, against timm's own preparation of pictures; the names are of its test models."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from ldmlab.pretrained.timm_network import TimmNetwork


def random_network(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(name).eval().requires_grad_(False)


def stored(name: str, folder: Path) -> tuple[nn.Module, Path]:
    network = random_network(name)
    torch.save(network.state_dict(), folder / f"{name}.pth")
    return network, folder / f"{name}.pth"


@pytest.fixture(scope="module")
def images() -> Tensor:
    noise = torch.randint(0, 256, (2, 3, 25, 20), generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(noise.float(), scale_factor=8, mode="bilinear").to(torch.uint8)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_efficientnet"])
def test_logits_are_timms_own(name: str, images: Tensor, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs, path = stored(name, tmp_path)
    before = torch.get_rng_state()
    with caplog.at_level("INFO"):
        mine = TimmNetwork(name, path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not caplog.records
    prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(theirs))
    pixels = torch.stack([prepare(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])
    features = mine(images)
    assert features.shape == (2, theirs.num_features)
    assert mine.classifies
    torch.testing.assert_close(mine.classify(features), theirs(pixels), rtol=1e-2, atol=1e-2)


def test_a_network_of_two_heads_has_features_alone(images: Tensor, tmp_path: Path) -> None:
    network = TimmNetwork("deit_tiny_distilled_patch16_224", stored("deit_tiny_distilled_patch16_224", tmp_path)[1])
    assert not network.classifies
    assert network(images).shape == (2, 192)


def test_is_frozen_and_stays_in_evaluation_mode(tmp_path: Path) -> None:
    network = TimmNetwork("test_vit", stored("test_vit", tmp_path)[1])
    torch.nn.Sequential(network).train()
    assert not any(module.training for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())


def test_safetensors(images: Tensor, tmp_path: Path) -> None:
    theirs, path = stored("test_vit", tmp_path)
    save_file(theirs.state_dict(), tmp_path / "vit.safetensors")
    wanted = TimmNetwork("test_vit", path)(images)
    assert torch.equal(TimmNetwork("test_vit", tmp_path / "vit.safetensors")(images), wanted)


def test_bad_input_is_one_clear_line_and_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *args, **kwargs: pytest.fail("a download"))
    path = stored("test_vit", tmp_path)[1]
    with pytest.raises(ValueError, match="model=resnet: timm lacks it"):
        TimmNetwork("resnet", path)
    with pytest.raises(ValueError, match="model=hf-hub:timm/vit: timm lacks it"):
        TimmNetwork("hf-hub:timm/vit", path)
    with pytest.raises(ValueError, match="weights is null; give the path of timm's weights of resnet18"):
        TimmNetwork("resnet18", None)
    with pytest.raises(ValueError, match=r"test_vit\.pth' is not one of timm's resnet18"):
        TimmNetwork("resnet18", path)
    with pytest.raises(ValueError, match=r"is not one of timm's test_vit\.mine \(Invalid pretrained tag"):
        TimmNetwork("test_vit.mine", path)
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match=r"empty\.pth' is no state dict"):
        TimmNetwork("test_vit", tmp_path / "empty.pth")
