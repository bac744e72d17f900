"""A grey picture as the condition: colorization (Saharia et al. 2022, "Palette").

Shapes: B batch, H x W latent grid, f the autoencoder's factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ldmlab.conditioners.base import LatentSpace
from ldmlab.conditioners.image import ImageConditioner
from ldmlab.conditioners.pixels import as_stored, batch_tensor

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601), as a grey file of the same picture has it."""


class Colorization(ImageConditioner):
    """Reads the luma of `batch["images"]`, in 8 bits; a grey picture is its own. Nothing of it is lost on the grid."""

    shows = "grey"

    def channels(self, space: LatentSpace) -> int:
        """Cc = f^2: every cell of the latent grid holds its grey pixels."""
        return space.factor**2

    def concat(self, batch: Mapping[str, Any]) -> Float[Tensor, "B Cc H W"]:
        """The grey picture in [-1, 1], pixel-unshuffled to the latent grid."""
        return F.pixel_unshuffle(self.grey(batch), self.space.factor)

    def grey(self, batch: Mapping[str, Any]) -> Float[Tensor, "B 1 fH fW"]:
        """The luma of `batch["images"]` in [-1, 1], rounded to 8 bits."""
        images = batch_tensor(batch, "images", "colorization", self.device())
        weighed = [weight * channel for weight, channel in zip(LUMA, images.split(1, dim=1), strict=True)]
        return as_stored(torch.cat(weighed, dim=1).sum(dim=1, keepdim=True))

    def naive(self, batch: Mapping[str, Any]) -> Float[Tensor, "B 3 fH fW"]:
        """The grey picture, in three equal channels: the baseline of the task."""
        return self.grey(batch).expand(-1, 3, -1, -1)
