"""Pictures beside what they were made of."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.extractors.images import require_uint8


def as_pair(
    images: UInt8[Tensor, "B 3 H W"], truth: UInt8[Tensor, "B 3 H W"]
) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B 3 H W"]]:
    """Both in float64, still 0..255.

    Raises:
        ValueError: they are not uint8 (B, 3, H, W) of one shape.
    """
    require_uint8(images)
    require_uint8(truth, "truth")
    if images.shape != truth.shape:
        raise ValueError(f"images have shape {tuple(images.shape)}, truth {tuple(truth.shape)}; give equal shapes")
    return images.to(torch.float64), truth.to(torch.float64)
