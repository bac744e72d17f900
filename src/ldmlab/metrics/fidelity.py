"""How near pictures come to the truth: reconstructions, and pictures drawn again from what was left of them."""

from __future__ import annotations

import math

import torch
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.metrics.base import Metric
from ldmlab.metrics.images import require_uint8
from ldmlab.metrics.reconstruction import mean_psnr, psnr, ssim


class PSNR(Metric):
    """The peak signal-to-noise ratio in dB, as the mean of the images' ratios.

    The ratio of an exact image is infinite, so the mean is that of the others, and "exact" says how many were exact
    where any was.
    """

    ratios: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("ratios", [], dist_reduce_fx="cat")

    def update(self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"]) -> None:
        """Take in a batch of images and what they were made of."""
        self.ratios.append(psnr(images, truth))

    def compute(self) -> dict[str, float]:
        """The mean, infinite where every image is exact; and how many are, if any."""
        decibels, exact = mean_psnr(torch.cat(self.ratios).tolist())
        return {"PSNR": decibels, **({"exact": float(exact)} if exact else {})}


class PooledPSNR(Metric):
    """The peak signal-to-noise ratio in dB of the mean squared error over all images, which no exact image spoils."""

    count: Tensor
    squares: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("count")
        self.add_sum("squares")

    def update(self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"]) -> None:
        """Take in a batch of images and what they were made of."""
        require_uint8(images)
        require_uint8(truth, "truth")
        self.count = self.count + len(images)
        self.squares = self.squares + (images.double() - truth.double()).square().mean(dim=(1, 2, 3)).sum().cpu()

    def compute(self) -> dict[str, float]:
        """The ratio, infinite where every image is exact."""
        error = float(self.squares) / float(self.count)
        return {"PSNR": 10 * math.log10(255**2 / error) if error else math.inf}


class SSIM(Metric):
    """The structural similarity (Wang et al., 2004), as the mean over the images; see `reconstruction.ssim`."""

    count: Tensor
    similarity: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("count")
        self.add_sum("similarity")

    def update(self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"]) -> None:
        """Take in a batch of images and what they were made of."""
        self.count = self.count + len(images)
        self.similarity = self.similarity + ssim(images, truth).sum().cpu()

    def compute(self) -> dict[str, float]:
        """The mean, at most 1."""
        return {"SSIM": float(self.similarity) / float(self.count)}
