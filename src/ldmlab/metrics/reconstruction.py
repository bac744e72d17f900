"""How well images survive the autoencoder. All images here are uint8 in 0..255, as they are stored and shown."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.metrics.images import require_uint8

SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window (sigma 1.5), which must fit into the image."""


def psnr(images: UInt8[Tensor, "B 3 H W"], targets: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
    """Return the peak signal-to-noise ratio of each image in dB, infinite for equal images.

    Raises:
        ValueError: the images are not uint8 (B, 3, H, W) of one shape.
    """
    mine, theirs = _pair(images, targets)
    from torchmetrics.functional.image.psnr import peak_signal_noise_ratio

    return peak_signal_noise_ratio(mine, theirs, data_range=255.0, reduction="none", dim=(1, 2, 3))


def mean_psnr(ratios: Iterable[float]) -> tuple[float, int]:
    """Return the mean ratio in dB of the images that are not exact, and how many are.

    The ratio of an exact image, as a blank one easily is, is infinite, and so would be every mean with it.

    Args:
        ratios: of single images, see `psnr`.

    Returns:
        The mean, infinite where every image is exact, and the number of exact ones.
    """
    all_ratios = list(ratios)
    inexact = [ratio for ratio in all_ratios if ratio != math.inf]
    mean = sum(inexact) / len(inexact) if inexact else math.inf
    return mean, len(all_ratios) - len(inexact)


def ssim(images: UInt8[Tensor, "B 3 H W"], targets: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
    """Return the structural similarity of each image (Wang et al., 2004; per channel, Gaussian window), at most 1.

    The mean is over the windows that lie inside the image, as in the paper and in scikit-image. torchmetrics' own
    mean takes in the reflected border too, which moves it by up to 0.04 at 64 pixels.

    Raises:
        ValueError: the images are not uint8 (B, 3, H, W) of one shape, or smaller than the window.
    """
    mine, theirs = _pair(images, targets)
    if min(images.shape[2:]) < SSIM_WINDOW:
        raise ValueError(f"images are {tuple(images.shape[2:])} pixels; SSIM needs at least {SSIM_WINDOW} a side")
    from torchmetrics.functional.image.ssim import structural_similarity_index_measure

    _, maps = structural_similarity_index_measure(
        mine, theirs, data_range=255.0, reduction="none", return_full_image=True
    )
    border = SSIM_WINDOW // 2
    return maps[..., border:-border, border:-border].mean((1, 2, 3))


def _pair(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    require_uint8(images)
    require_uint8(targets, "targets")
    if images.shape != targets.shape:
        raise ValueError(f"images have shape {tuple(images.shape)}, targets {tuple(targets.shape)}; give equal shapes")
    return images.to(torch.float64), targets.to(torch.float64)
