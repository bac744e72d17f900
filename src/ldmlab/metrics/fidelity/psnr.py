"""How near pictures come to the truth, pixel by pixel: the peak signal-to-noise ratio. All images are uint8."""

from __future__ import annotations

import math

from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.metrics.base import Metric
from ldmlab.metrics.fidelity.pairs import as_pair
from ldmlab.metrics.standard_errors import NO_VALUES, joined, mean_error, with_values


def psnr(images: UInt8[Tensor, "B 3 H W"], targets: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
    """Return the peak signal-to-noise ratio of each image in dB, infinite for equal images.

    Raises:
        ValueError: the images are not uint8 (B, 3, H, W) of one shape.
    """
    mine, theirs = as_pair(images, targets)
    from torchmetrics.functional.image.psnr import peak_signal_noise_ratio

    return peak_signal_noise_ratio(mine, theirs, data_range=255.0, reduction="none", dim=(1, 2, 3))


class PSNR(Metric):
    """The peak signal-to-noise ratio in dB, as the mean of the images' ratios.

    The ratio of an exact image, as a blank one easily is, is infinite, and so would be every mean with it: the mean is
    that of the others, and "exact" says how many were exact where any was.
    """

    higher_is_better = True
    ratios: Tensor
    exact: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("ratios", NO_VALUES, dist_reduce_fx=joined)
        self.add_sum("exact")

    def update(self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"]) -> None:
        """Take in a batch of images and what they were made of."""
        ratios = psnr(images, truth)
        finite = ratios.isfinite()
        self.ratios = with_values(self.ratios, ratios[finite])
        self.exact = self.exact + (~finite).sum().cpu()

    def compute(self) -> dict[str, float]:
        """The mean, infinite where every image is exact; and how many are, if any."""
        count, decibels, _ = self.ratios.tolist()
        exact = float(self.exact)
        return {"PSNR": decibels if count else math.inf, **({"exact": exact} if exact else {})}

    def errors(self) -> dict[str, float]:
        """The standard error of the mean over the images that are not exact."""
        return {"PSNR": mean_error(self.ratios)}


class PooledPSNR(Metric):
    """The peak signal-to-noise ratio in dB of the mean squared error over all images, which no exact image spoils."""

    higher_is_better = True
    squares: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("squares", NO_VALUES, dist_reduce_fx=joined)

    def update(self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"]) -> None:
        """Take in a batch of images and what they were made of."""
        mine, theirs = as_pair(images, truth)
        self.squares = with_values(self.squares, (mine - theirs).square().mean(dim=(1, 2, 3)))

    def compute(self) -> dict[str, float]:
        """The ratio, infinite where every image is exact."""
        error = float(self.squares[1])
        return {"PSNR": 10 * math.log10(255**2 / error) if error else math.inf}

    def errors(self) -> dict[str, float]:
        """That of the mean squared error, through the slope of the ratio (the delta method)."""
        error = float(self.squares[1])
        return {"PSNR": 10 / math.log(10) * mean_error(self.squares) / error if error else math.nan}
