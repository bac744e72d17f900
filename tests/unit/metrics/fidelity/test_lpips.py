"""LPIPS against torchmetrics with the same weights, and the distance that needs none under its own name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image.lpips import _LPIPS
from torchvision.models import alexnet

from ldmlab.extractors import base
from ldmlab.metrics.feed import Feed
from ldmlab.metrics.fidelity.lpips import LPIPS, PerceptualDistance
from ldmlab.pretrained.weights import sha256_of


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = {name: each for name, each in alexnet(weights=None).state_dict().items() if "features" in name}
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def alex(weights: Path) -> LPIPS:
    return LPIPS(weights, "alex")


@pytest.fixture
def images(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8, generator=generator)


def test_is_torchmetrics_distance_with_the_same_weights(alex: LPIPS, weights: Path, images: Tensor) -> None:
    metric, truth = alex, images.roll(1, dims=0)
    metric.reset()
    feed = Feed("reconstructed", [metric.update])
    for part in (slice(0, 3), slice(3, 5)):
        feed.update(images=images[part], truth=truth[part])
    reference = _LPIPS(net="alex", pnet_rand=True)
    stored = torch.load(weights, weights_only=True).values()
    reference.net.load_state_dict(dict(zip(reference.net.state_dict(), stored, strict=True)))
    wanted = reference(images / 255, truth / 255, normalize=True).flatten()
    assert metric.compute() == {"LPIPS-alex": pytest.approx(float(wanted.mean()), rel=1e-5)}
    assert metric.errors() == {"LPIPS-alex": pytest.approx(float(wanted.std() / 5**0.5), rel=1e-4)}
    assert metric.networks() == {"lpips-alex": sha256_of(weights)}
    assert not metric.state_dict()


def test_the_one_of_lite0_has_its_own_name(images: Tensor) -> None:
    metric = PerceptualDistance()
    metric.update(images, images, range(5))
    assert metric.compute() == {"LPIPS-lite0": 0}
    noisy = (images.int() + 20).clamp(0, 255).to(torch.uint8)
    assert bool((metric.distances(noisy, images) > 0).all())
    assert [*metric.networks()] == ["efficientnet-lite0"]


def test_the_size_of_a_pass_does_not_matter(alex: LPIPS, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = alex.distances(images, images.flip(0))
    monkeypatch.setattr(base, "CPU_BATCH", 5)
    torch.testing.assert_close(alex.distances(images, images.flip(0)), whole)
    assert whole.dtype == torch.float64
    assert whole.shape == (5,)


def test_nan_is_named(alex: LPIPS, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = torch.tensor([0.1, 0.2, torch.nan, 0.1, 0.2], dtype=torch.float64)
    monkeypatch.setattr(alex, "distances", lambda *_: broken)
    with pytest.raises(ValueError, match="the features of picture 12 hold NaN"):
        alex.update(images, images, range(10, 15))


def test_bad_input_is_one_clear_line(alex: LPIPS, weights: Path, images: Tensor) -> None:
    with pytest.raises(ValueError, match="weights is null; save the state dict of torchvision's vgg16 there"):
        LPIPS(None)
    with pytest.raises(ValueError, match=r"alexnet\.pth' does not fit squeezenet1_1"):
        LPIPS(weights, "squeeze")
    with pytest.raises(ValueError, match="give equal shapes"):
        alex.update(images, images[:2], range(5))


@pytest.mark.gpu
def test_the_network_computes_where_it_is_moved(alex: LPIPS, images: Tensor) -> None:
    wanted = alex.distances(images, images.flip(0))
    alex.move_networks("cuda")
    torch.testing.assert_close(alex.distances(images.cuda(), images.flip(0)), wanted, rtol=1e-2, atol=1e-3)
    alex.move_networks("cpu")
    assert torch.equal(alex.distances(images, images.flip(0)), wanted)
