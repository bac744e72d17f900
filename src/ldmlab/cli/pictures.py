"""Pictures and masks that a user names on the command line.

Shapes: H x W pixels.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ldmlab.cli.errors import UserError
from ldmlab.data.decode import WHITE, decode_rgb
from ldmlab.data.shard_scan import IMAGE_FORMATS
from ldmlab.files import read_regular

MOST_PIXELS = 2**26
"""Larger pictures are refused before they are decoded."""
MOST_BYTES = 2**29
"""Of a file, however it is packed."""
BLACK = (0, 0, 0, 255)
HALF = 128


def read_picture(path: str, key: str = "image") -> UInt8[Tensor, "3 H W"]:
    """A JPEG, PNG or WebP file at its own size: upright, on white where transparent, 16-bit grey scaled.

    Raises:
        UserError: naming `key`: no such file, no picture, a damaged or an enormous one.
    """
    return _pixels(_read(path, key, WHITE))


def read_mask(path: str, key: str = "mask") -> Bool[Tensor, "H W"]:
    """True where a file is white, False where it is black or transparent.

    Raises:
        UserError: as `read_picture`.
    """
    return torch.from_numpy(np.asarray(_read(path, key, BLACK).convert("L")) >= HALF)


def fit_picture(picture: UInt8[Tensor, "3 H W"], size: int) -> UInt8[Tensor, "3 size size"]:
    """Centre-cropped and resampled as the training data are; as it is where it has that size."""
    if picture.shape[-2:] == (size, size):
        return picture
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    return _pixels(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))


def fit_mask(mask: Bool[Tensor, "H W"], size: int) -> Bool[Tensor, "size size"]:
    """As `fit_picture` does with the picture under it; True where any part of a pixel is."""
    if mask.shape == (size, size):
        return mask
    image = Image.fromarray(mask.numpy().astype(np.uint8) * 255)
    return torch.from_numpy(np.array(ImageOps.fit(image, (size, size), Image.Resampling.BOX)) > 0)


def _read(path: str, key: str, background: tuple[int, int, int, int]) -> Image.Image:
    where = f"{key}={path}"
    try:
        payload = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise UserError(f"{where}: {(error.strerror or str(error)).lower()}; give a JPEG, PNG or WebP file") from error
    _check_size(path, where)
    try:
        return decode_rgb(payload, background)
    except Exception as error:  # codecs raise what they like on damaged bytes
        raise UserError(f"{where}: damaged ({error}); save the picture again") from error


def _check_size(path: str, where: str) -> None:
    """Read the header alone."""
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(path, formats=IMAGE_FORMATS) as image,
        ):
            width, height = image.size
    except UnidentifiedImageError as error:
        raise UserError(f"{where}: holds no picture; give a JPEG, PNG or WebP file") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{where}: an enormous picture; scale it down to {MOST_PIXELS:,} pixels at most") from error
    except Exception as error:
        raise UserError(f"{where}: damaged ({error}); save the picture again") from error
    if width * height > MOST_PIXELS:
        raise UserError(f"{where}: {width} x {height} is too large; scale it down to {MOST_PIXELS:,} pixels at most")


def _pixels(image: Image.Image) -> UInt8[Tensor, "3 H W"]:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
