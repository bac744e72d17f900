"""Pictures in batches: floats in [-1, 1], and the bytes that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.conditioners.base import require_key


def as_bytes(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Images in [-1, 1] as bytes 0 ... 255, rounded and clamped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def signed(images: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Bytes 0 ... 255 as floats in [-1, 1]."""
    return images.float() / 127.5 - 1


def as_stored(images: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Images rounded to what 8 bits can hold, so that training sees what a file would give."""
    return signed(as_bytes(images)).to(images.dtype)


def batch_tensor(batch: Mapping[str, Any], key: str, conditioner: str, device: torch.device) -> Tensor:
    """`batch[key]`, a tensor (B, ...) or a sequence of B tensors, on a device.

    Raises:
        ValueError: it is missing.
    """
    values = require_key(batch, key, conditioner)
    return (values if isinstance(values, Tensor) else torch.stack(list(values))).to(device)
