"""How near pictures come to the truth in their structure (Wang et al., 2004). All images are uint8."""

from __future__ import annotations

from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.metrics.base import Metric
from ldmlab.metrics.fidelity.pairs import as_pair
from ldmlab.metrics.standard_errors import NO_VALUES, joined, mean_error, with_values

SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window (sigma 1.5), which must fit into the image."""


def ssim(images: UInt8[Tensor, "B 3 H W"], targets: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
    """Return the structural similarity of each image (Wang et al., 2004; per channel, Gaussian window), at most 1.

    The mean is over the windows that lie inside the image, as in the paper and in scikit-image. torchmetrics' own
    mean takes in the reflected border too, which moves it by up to 0.04 at 64 pixels.

    Raises:
        ValueError: the images are not uint8 (B, 3, H, W) of one shape, or smaller than the window.
    """
    mine, theirs = as_pair(images, targets)
    if min(images.shape[2:]) < SSIM_WINDOW:
        raise ValueError(f"images are {tuple(images.shape[2:])} pixels; SSIM needs at least {SSIM_WINDOW} a side")
    from torchmetrics.functional.image.ssim import structural_similarity_index_measure

    _, maps = structural_similarity_index_measure(
        mine, theirs, data_range=255.0, reduction="none", return_full_image=True
    )
    border = SSIM_WINDOW // 2
    return maps[..., border:-border, border:-border].mean((1, 2, 3))


class SSIM(Metric):
    """The structural similarity (Wang et al., 2004), as the mean over the images; see `ssim`."""

    higher_is_better = True
    similarities: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("similarities", NO_VALUES, dist_reduce_fx=joined)

    def update(self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"]) -> None:
        """Take in a batch of images and what they were made of."""
        self.similarities = with_values(self.similarities, ssim(images, truth))

    def compute(self) -> dict[str, float]:
        """The mean, at most 1."""
        return {"SSIM": float(self.similarities[1])}

    def errors(self) -> dict[str, float]:
        """The standard error of the mean."""
        return {"SSIM": mean_error(self.similarities)}
