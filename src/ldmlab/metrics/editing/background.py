"""What an edit leaves as it was, pixel by pixel: both pictures are black where it may change them.

As PIE-Bench's own evaluation does it, means go over all pixels, the black ones included: the larger the mask, the
better every figure. Shapes: B edits, H x W pixels.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ldmlab.metrics.editing.base import EditMetric, outside, where_outside
from ldmlab.metrics.fidelity.pairs import as_pair


class BackgroundMSE(EditMetric):
    """Mean squared error outside the mask, of pixels in [0, 1]: "MSE"."""

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__("MSE")

    def update(
        self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"], mask: Bool[Tensor, "B H W"]
    ) -> None:
        """Take in edits, see `EditMetric`."""
        self.add(where_outside(_squared_error(*_pair(images, truth, mask)), mask))


class BackgroundPSNR(EditMetric):
    """Peak signal-to-noise ratio outside the mask in dB: "PSNR". The mean is over edits that are not exact."""

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__("PSNR")

    def update(
        self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"], mask: Bool[Tensor, "B H W"]
    ) -> None:
        """Take in edits, see `EditMetric`."""
        self.add(where_outside(-10 * _squared_error(*_pair(images, truth, mask)).log10(), mask))


class BackgroundSSIM(EditMetric):
    """Structural similarity outside the mask (Wang et al. 2004; Gaussian window of 11 pixels): "SSIM".

    The mean takes in windows over the reflected border, as torchmetrics' does, which PIE-Bench calls.
    """

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__("SSIM")

    def update(
        self, images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"], mask: Bool[Tensor, "B H W"]
    ) -> None:
        """Take in edits, see `EditMetric`.

        Raises:
            ValueError: the pictures are smaller than half a window.
        """
        from torchmetrics.functional.image.ssim import structural_similarity_index_measure

        pair = _pair(images, truth, mask)
        similarity = structural_similarity_index_measure(*pair, data_range=1.0, reduction="none")
        assert isinstance(similarity, Tensor)
        self.add(where_outside(similarity.reshape(len(images)), mask))


def _pair(images: Tensor, truth: Tensor, mask: Tensor) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B 3 H W"]]:
    """Both kinds of pictures in [0, 1], black inside the masks, in float64."""
    first, second = as_pair(images, truth)
    return outside(first, mask) / 255, outside(second, mask) / 255


def _squared_error(first: Tensor, second: Tensor) -> Float[Tensor, " B"]:
    return (first - second).square().mean((1, 2, 3))
