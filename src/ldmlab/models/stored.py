"""The config that a checkpoint holds. A checkpoint is a stranger's file, and so is what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ldmlab.models.build import DIFFUSION_GROUPS
from ldmlab.models.plain_data import require_plain, shown

LENDER = "autoencoder_ckpt"
"""The entry that names the shipped model whose autoencoder an exported model reads."""
LARGEST_IMAGE = 4096
"""Pixels of a side."""
PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
ALONE = ("autoencoder", "conditioner")
ADAPTER = "adapter"
KINDS = ("latent_diffusion", *ALONE, ADAPTER)


def require_stored(config: Any) -> dict[str, Any]:
    """A checkpoint's config as plain data that says which model it is, and has a section for each of its parts.

    Raises:
        ValueError: it is no plain data, or names no model of ours.
    """
    require_plain(config)
    kind = config.get("model") if isinstance(config, dict) else None
    parts = {kind} if kind in (*ALONE, ADAPTER) else {"autoencoder", *DIFFUSION_GROUPS} - {"objective"}
    if kind not in KINDS or not {*parts, "image_size"} <= {*config}:
        raise ValueError("its config names no model; it was not written by `ldmlab train`")
    size = config["image_size"]
    if type(size) is not int or not 1 <= size <= LARGEST_IMAGE:
        raise ValueError(f"image_size={shown(size)}: is no side of a picture, from 1 to {LARGEST_IMAGE} pixels")
    if not isinstance(config.get(LENDER), str | None):
        raise ValueError(f"{LENDER}={shown(config[LENDER])}: is no name of a model")
    return config


def require_sound(expected: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Refuse weights that no model computes with, though their names and shapes fit.

    Args:
        expected: the model's state dict; on the meta device will do.
        state: the file's.

    Raises:
        ValueError: numbers of another kind (whole, real), none at all, NaN, or infinity once they are in the model's
            precision; the first tensor is named.
    """
    for name, tensor in state.items():
        if name.endswith("_extra_state"):
            continue
        real = expected[name].is_floating_point()
        if (tensor.dtype not in PRECISIONS) if real else (tensor.is_floating_point() or tensor.is_complex()):
            raise ValueError(f"'{name}' holds {tensor.dtype}, and the model {expected[name].dtype}")
        if not tensor.numel():
            raise ValueError(f"'{name}' is empty")
        if real and not bool(torch.isfinite(tensor.to(expected[name].dtype)).all()):
            raise ValueError(f"'{name}' holds NaN or infinite values; use an earlier checkpoint")
