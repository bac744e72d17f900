"""The config that a checkpoint holds. A checkpoint is a stranger's file, and so is what it says of itself."""

from __future__ import annotations

from typing import Any

from ldmlab.models.build import DIFFUSION_GROUPS
from ldmlab.models.plain_data import require_plain, shown

LENDER = "autoencoder_ckpt"
"""The entry that names the shipped model whose autoencoder an exported model reads."""
LARGEST_IMAGE = 8192
"""Pixels of a side."""
ALONE = ("autoencoder", "conditioner")


def require_stored(config: Any) -> dict[str, Any]:
    """A checkpoint's config as plain data that says which model it is, and has a section for each of its parts.

    Raises:
        ValueError: it is no plain data, or names no model of ours.
    """
    require_plain(config)
    kind = config.get("model") if isinstance(config, dict) else None
    parts = {kind} if kind in ALONE else {"autoencoder", *DIFFUSION_GROUPS} - {"objective"}
    if not isinstance(config, dict) or not isinstance(kind, str) or not {*parts, "image_size"} <= {*config}:
        raise ValueError("its config names no model; it was not written by `ldmlab train`")
    size = config["image_size"]
    if type(size) is not int or not 1 <= size <= LARGEST_IMAGE:
        raise ValueError(f"image_size={shown(size)}: is no side of a picture, from 1 to {LARGEST_IMAGE} pixels")
    if not isinstance(config.get(LENDER), str | None):
        raise ValueError(f"{LENDER}={shown(config[LENDER])}: is no name of a model")
    return config
