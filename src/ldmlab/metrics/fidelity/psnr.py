"""How near pictures come to the truth, pixel by pixel: the peak signal-to-noise ratio. All images are uint8."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.metrics.base import Metric
from ldmlab.metrics.fidelity.pairs import as_pair


def psnr(images: UInt8[Tensor, "B 3 H W"], targets: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
    """Return the peak signal-to-noise ratio of each image in dB, infinite for equal images.

    Raises:
        ValueError: the images are not uint8 (B, 3, H, W) of one shape.
    """
    mine, theirs = as_pair(images, targets)
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
        mine, theirs = as_pair(images, truth)
        self.count = self.count + len(images)
        self.squares = self.squares + (mine - theirs).square().mean(dim=(1, 2, 3)).sum().cpu()

    def compute(self) -> dict[str, float]:
        """The ratio, infinite where every image is exact."""
        error = float(self.squares) / float(self.count)
        return {"PSNR": 10 * math.log10(255**2 / error) if error else math.inf}
