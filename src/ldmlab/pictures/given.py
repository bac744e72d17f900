"""Pictures and masks as Python has them: a file's path, a PIL picture, an array or a tensor.

Shapes: H x W pixels.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from ldmlab.data.decoding.decode import WHITE, to_rgb
from ldmlab.pictures.contact_sheet import from_pil
from ldmlab.pictures.reading import BLACK, HALF, read_mask, read_picture

GivenPicture = str | Path | Image.Image | np.ndarray | Tensor
"""A JPEG, PNG or WebP file; a PIL picture of any mode; uint8 (H,W), (H,W,1), (H,W,3) or (H,W,4); or uint8 (3,H,W)."""
GivenMask = str | Path | Image.Image | np.ndarray | Tensor
"""The same, white where a picture may change; or bool (H,W), True there."""


def as_picture(given: GivenPicture, key: str = "image") -> UInt8[Tensor, "3 H W"]:
    """A picture at its own size: upright, on white where transparent.

    Args:
        given: see `GivenPicture`.
        key: what it is called in messages.

    Raises:
        ValueError: naming `key`: it is no picture, or of another shape or type.
    """
    if isinstance(given, str | os.PathLike):
        return read_picture(str(given), key)
    if isinstance(given, Tensor):
        if given.dtype != torch.uint8 or given.ndim != 3 or given.shape[0] != 3:
            raise ValueError(f"{key}: {_told(given)}; give a tensor of uint8 with the shape (3, H, W)")
        return given.cpu()
    return from_pil(to_rgb(_upright(_as_pil(given, key)), WHITE))


def as_mask(given: GivenMask, key: str = "mask") -> Bool[Tensor, "H W"]:
    """A mask at its own size: True where it is white, False where it is black or transparent.

    Args:
        given: see `GivenMask`.
        key: what it is called in messages.

    Raises:
        ValueError: as `as_picture`.
    """
    if isinstance(given, str | os.PathLike):
        return read_mask(str(given), key)
    if isinstance(given, Tensor):
        given = given.cpu().numpy()
    if isinstance(given, np.ndarray) and given.dtype == bool and given.ndim == 2:
        return torch.from_numpy(given.copy())
    if isinstance(given, np.ndarray) and given.dtype != np.uint8:
        raise ValueError(f"{key}: {_told(given)}; give an array of bool with the shape (H, W), or one of uint8")
    grey = to_rgb(_upright(_as_pil(given, key)), BLACK).convert("L")
    return torch.from_numpy(np.asarray(grey) >= HALF)


def name_of(given: GivenPicture | None, pixels: Tensor | None) -> Any:
    """What says in a file which picture or mask was given: nothing, a path, or the digest of its pixels.

    Args:
        given: as the user gave it.
        pixels: what was made of it.
    """
    if pixels is None or isinstance(given, str | os.PathLike):
        return None if given is None else str(given)
    digest = hashlib.sha256(str(tuple(pixels.shape)).encode() + pixels.contiguous().numpy().tobytes())
    return {"pixels_sha256": digest.hexdigest()}


def _as_pil(given: Image.Image | np.ndarray, key: str) -> Image.Image:
    if isinstance(given, Image.Image):
        return given
    if not isinstance(given, np.ndarray):
        raise ValueError(f"{key}: is a {type(given).__name__}; give a path, a PIL picture or an array of uint8")
    array = given[..., 0] if given.ndim == 3 and given.shape[-1] == 1 else given
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))
    if given.dtype != np.uint8 or not is_picture or not array.size:
        raise ValueError(f"{key}: {_told(given)}; give an array of uint8 with the shape (H, W, 3) or (H, W)")
    return Image.fromarray(np.ascontiguousarray(array))


def _upright(image: Image.Image) -> Image.Image:
    """As a camera's orientation says, which a picture that was opened from a file may carry."""
    turned = image
    with suppress(Exception):  # broken metadata say nothing against the pixels
        turned = ImageOps.exif_transpose(image)
    return turned


def _told(given: np.ndarray | Tensor) -> str:
    return f"is of {str(given.dtype).removeprefix('torch.')} with the shape {tuple(given.shape)}"
