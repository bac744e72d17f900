"""Perceptual losses: a distance, differentiable in the images, whose network stays outside its owner."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchmetrics.functional.image.lpips import _LPIPS
from torchvision.transforms.functional import gaussian_blur

from ldmlab.autoencoders.perceptual import LpipsLoss, PerceptualLoss

pytest.importorskip("skimage", exc_type=ImportError)

from skimage import data


@pytest.fixture(scope="module")
def loss() -> PerceptualLoss:
    return PerceptualLoss()


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Four crops of a photo, in [-1, 1]."""
    photo = torch.from_numpy(data.astronaut()).permute(2, 0, 1).float() / 127.5 - 1
    return torch.stack([photo[:, top : top + 64, left : left + 64] for top in (60, 200) for left in (180, 260)])


def test_equal_images_have_no_distance(loss: PerceptualLoss, images: Tensor) -> None:
    assert loss(images, images).tolist() == [0.0] * 4


def test_grows_with_blur_and_with_noise(loss: PerceptualLoss, images: Tensor) -> None:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    blurred = torch.stack([loss(gaussian_blur(images, [13, 13], [sd]), images) for sd in (0.5, 1.0, 2.0)])
    noisy = torch.stack([loss(images + sd * noise, images) for sd in (0.02, 0.1, 0.5)])
    for distances in (blurred, noisy):
        assert bool((distances.diff(dim=0) > 0).all())
        assert bool((distances > 0).all())
        assert bool((distances < 4).all())


def test_each_pair_counts_by_itself(loss: PerceptualLoss, images: Tensor) -> None:
    others = images.flip(0)
    alone = torch.cat([loss(images[i : i + 1], others[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(loss(images, others), alone, rtol=1e-4, atol=1e-6)


def test_descending_it_restores_the_image(loss: PerceptualLoss, images: Tensor) -> None:
    x = gaussian_blur(images, [9, 9], [1.5]).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.02)
    before = float(loss(x.detach(), images).mean())
    for _ in range(10):
        optimizer.zero_grad()
        loss(x, images).mean().backward()
        optimizer.step()
    assert float(loss(x.detach(), images).mean()) < 0.6 * before


def test_a_flat_image_has_a_finite_gradient(loss: PerceptualLoss, images: Tensor) -> None:
    x = torch.zeros_like(images).requires_grad_()
    loss(x, images).sum().backward()
    assert bool(torch.isfinite(x.grad).all())


def test_the_network_stays_outside_its_owner(loss: PerceptualLoss) -> None:
    owner = nn.ModuleDict({"loss": loss, "layer": nn.Linear(2, 2)})
    owner.train()
    assert set(owner.state_dict()) == {"layer.weight", "layer.bias"}
    assert len(list(owner.parameters())) == 2
    assert not any(module.training for module in loss._outside[0].modules())


def test_follows_its_owner_to_a_dtype_and_through_a_copy(images: Tensor) -> None:
    owner = nn.Sequential(PerceptualLoss())
    copied = copy.deepcopy(owner).double()
    assert {w.dtype for w in copied[0]._outside[0].parameters()} == {torch.float64}
    assert {w.dtype for w in owner[0]._outside[0].parameters()} == {torch.float32}
    exact = copied[0](images.double(), images.flip(0).double())
    torch.testing.assert_close(exact.float(), owner[0](images, images.flip(0)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backbone", ["alex", "squeeze"])
def test_lpips_is_torchmetrics_with_the_given_weights(tmp_path: Path, backbone: str, images: Tensor) -> None:
    name = {"alex": "alexnet", "squeeze": "squeezenet1_1"}[backbone]
    path = tmp_path / "weights.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone_network = getattr(torchvision.models, name)(weights=None)
        reference = _LPIPS(net=backbone, pnet_rand=True)
    torch.save(backbone_network.state_dict(), path)
    weights = [value for key, value in backbone_network.state_dict().items() if key.startswith("features.")]
    reference.net.load_state_dict(dict(zip(reference.net.state_dict(), weights, strict=True)))
    before = torch.get_rng_state()
    loss = LpipsLoss(path, backbone)
    assert torch.equal(torch.get_rng_state(), before)
    found = loss(images, images.flip(0))
    torch.testing.assert_close(found, reference(images, images.flip(0)).flatten())
    assert bool((found > 0).all())
    assert not loss.state_dict()


@pytest.mark.parametrize(("backbone", "least"), [pytest.param("alex", 31, marks=pytest.mark.slow), ("squeeze", 17)])
def test_images_that_are_too_small_are_refused_and_larger_ones_are_not(
    tmp_path: Path, backbone: str, least: int
) -> None:
    name = {"alex": "alexnet", "squeeze": "squeezenet1_1"}[backbone]
    with torch.random.fork_rng(devices=[]):
        torch.save(getattr(torchvision.models, name)(weights=None).state_dict(), tmp_path / "weights.pth")
    loss = LpipsLoss(tmp_path / "weights.pth", backbone)
    assert loss(torch.zeros(1, 3, least, least), torch.ones(1, 3, least, least)).shape == (1,)
    small = torch.zeros(1, 3, least, least - 1)
    with pytest.raises(
        ValueError, match=rf"images are \({least}, {least - 1}\) pixels; lpips-{backbone} needs at least"
    ):
        loss(small, small)


def test_lpips_without_its_weights_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent\.pth' does not exist; save the state dict of torchvision's vgg16"):
        LpipsLoss(tmp_path / "absent.pth")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth' does not fit alexnet at"):
        LpipsLoss(tmp_path / "other.pth", "alex")
    with pytest.raises(ValueError, match="backbone is 'resnet'; choose one of alex, vgg, squeeze"):
        LpipsLoss(tmp_path / "other.pth", "resnet")
