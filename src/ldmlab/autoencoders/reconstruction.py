"""Reconstruction likelihood with a learned variance, a perceptual term inside it (Esser et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Distance = Callable[[Tensor, Tensor], Tensor]
PIXEL_ERRORS: dict[str, Distance] = {"l1": lambda a, b: (a - b).abs(), "l2": lambda a, b: (a - b).square()}


class ReconstructionLoss(nn.Module):
    """Negative log-likelihood of pixels, up to constants, with one learned log-scale.

    Args:
        pixel_error: "l1" (Laplace, as in the papers) or "l2" (twice the Gaussian's negative log-likelihood).
        perceptual: function of two image batches in [-1, 1] to (B,); None for pixels alone.
        perceptual_weight: weight of that distance against the error of a pixel value.
        initial_log_variance: where the log-scale starts.
        learned_variance: whether it is learned; the papers learn it with KL and keep it at 0 with a codebook.
    """

    def __init__(
        self,
        pixel_error: str = "l1",
        perceptual: Distance | None = None,
        perceptual_weight: float = 1.0,
        initial_log_variance: float = 0.0,
        learned_variance: bool = True,
    ) -> None:
        super().__init__()
        if pixel_error not in PIXEL_ERRORS:
            raise ValueError(f"loss.pixel_error={pixel_error}: choose one of {', '.join(PIXEL_ERRORS)}")
        self.pixel_error = PIXEL_ERRORS[pixel_error]
        self.perceptual = perceptual
        self.perceptual_weight = perceptual_weight
        self.log_variance = nn.Parameter(torch.tensor(float(initial_log_variance)), requires_grad=learned_variance)

    def forward(self, reconstructions: Float[Tensor, "B 3 H W"], images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, ""]:
        """The negative log-likelihood of images given their reconstructions.

        It is summed over an image's values and averaged over the batch.
        """
        error = self.pixel_error(reconstructions, images)
        if self.perceptual is not None and self.perceptual_weight:
            error = error + self.perceptual_weight * self.perceptual(reconstructions, images)[:, None, None, None]
        likelihood = error * torch.exp(-self.log_variance) + self.log_variance
        return likelihood.flatten(1).sum(dim=1).mean()
