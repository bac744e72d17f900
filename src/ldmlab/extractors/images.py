"""What every extractor and metric takes: uint8 colour images, so figures are those of what is stored and shown."""

from __future__ import annotations

import torch
from torch import Tensor


def require_uint8(images: Tensor, name: str = "images") -> None:
    """Refuse what is not a batch of uint8 colour images.

    Raises:
        ValueError: another dtype or shape than uint8 (B, 3, H, W).
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        found = f"{images.dtype} {tuple(images.shape)}"
        raise ValueError(f"{name} are {found}; give uint8 (B, 3, H, W), rounded and clamped to 0..255")
