"""PSNR and SSIM against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.metrics.fidelity.psnr import psnr
from ldmlab.metrics.fidelity.ssim import ssim

pytest.importorskip("skimage", exc_type=ImportError)

from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


@pytest.fixture(scope="module")
def targets() -> Tensor:
    photo = torch.from_numpy(data.astronaut()).permute(2, 0, 1)
    return torch.stack([photo[:, top : top + 48, 200:264] for top in (60, 150, 300)])


@pytest.fixture(scope="module")
def images(targets: Tensor) -> Tensor:
    noise = torch.randn(targets.shape, generator=torch.Generator().manual_seed(0))
    strength = torch.tensor([2.0, 10.0, 50.0])[:, None, None, None]
    return (targets + strength * noise).round().clamp(0, 255).to(torch.uint8)


def _arrays(images: Tensor) -> list[np.ndarray]:
    return list(images.permute(0, 2, 3, 1).numpy())


def test_psnr_of_each_image_is_that_of_scikit_image(images: Tensor, targets: Tensor) -> None:
    pairs = zip(_arrays(targets), _arrays(images), strict=True)
    expected = [peak_signal_noise_ratio(target, image, data_range=255) for target, image in pairs]
    assert psnr(images, targets).tolist() == pytest.approx(expected, abs=1e-5)


def test_ssim_of_each_image_is_that_of_scikit_image(images: Tensor, targets: Tensor) -> None:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    pairs = zip(_arrays(targets), _arrays(images), strict=True)
    expected = [structural_similarity(target, image, data_range=255, **options) for target, image in pairs]
    assert ssim(images, targets).tolist() == pytest.approx(expected, abs=1e-9)


def test_equal_images_are_perfect(targets: Tensor) -> None:
    assert psnr(targets, targets).tolist() == [float("inf")] * 3
    assert ssim(targets, targets).tolist() == pytest.approx([1.0] * 3)


def test_one_image_is_a_batch_of_one(images: Tensor, targets: Tensor) -> None:
    assert psnr(images[:1], targets[:1]).shape == (1,)
    assert ssim(images[:1], targets[:1]).shape == (1,)


def test_bad_pairs_are_refused(images: Tensor, targets: Tensor) -> None:
    with pytest.raises(ValueError, match=r"truth are torch\.float32"):
        psnr(images, targets.float())
    with pytest.raises(ValueError, match="give equal shapes"):
        ssim(images, targets[:2])
    with pytest.raises(ValueError, match="SSIM needs at least 11 a side"):
        ssim(images[..., :10], targets[..., :10])
