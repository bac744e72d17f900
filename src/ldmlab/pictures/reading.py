"""Pictures and masks that a user gives.

Shapes: H x W pixels.
"""

from __future__ import annotations

import warnings
from io import BytesIO

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ldmlab.data.decoding.decode import WHITE, decode_rgb
from ldmlab.data.decoding.fit import crop, fit
from ldmlab.data.decoding.png_chunks import pixels_alone
from ldmlab.data.shards.shard_scan import IMAGE_FORMATS
from ldmlab.files import read_regular

MOST_PIXELS = 2**26
"""Larger pictures are refused before they are decoded."""
MOST_BYTES = 2**29
"""Of a file, however it is packed."""
REMEDY = "give a JPEG, PNG or WebP file"
OTHERS = {b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF"}
"""The first bytes of files that a user may take for pictures."""
BLACK = (0, 0, 0, 255)
HALF = 128


def read_picture(path: str, key: str = "image") -> UInt8[Tensor, "3 H W"]:
    """A JPEG, PNG or WebP file at its own size: upright, on white where transparent, 16-bit grey scaled.

    Raises:
        ValueError: naming `key`: no such file, no picture, a damaged or an enormous one.
    """
    return _pixels(_read(path, key, WHITE))


def read_mask(path: str, key: str = "mask") -> Bool[Tensor, "H W"]:
    """True where a file is white, False where it is black or transparent.

    Raises:
        ValueError: as `read_picture`.
    """
    return torch.from_numpy(np.asarray(_read(path, key, BLACK).convert("L")) >= HALF)


def require_same_size(image: UInt8[Tensor, "3 _ _"], mask: Bool[Tensor, "_ _"], called: str = "mask") -> None:
    """Refuse a mask of another size than the picture under it.

    Args:
        image: the picture.
        mask: over it.
        called: the mask, in the message.

    Raises:
        ValueError: with both sizes.
    """
    if image.shape[-2:] != mask.shape:
        sizes = [f"{rows} x {columns}" for rows, columns in (mask.shape, image.shape[-2:])]
        raise ValueError(f"{called}: is {sizes[0]} pixels and the image {sizes[1]}; give a mask of its size")


def fit_picture(picture: UInt8[Tensor, "3 H W"], size: int) -> UInt8[Tensor, "3 size size"]:
    """Centre-cropped and resampled as the training data are; as it is where it has that size."""
    if picture.shape[-2:] == (size, size):
        return picture
    fitted = fit(picture.permute(1, 2, 0).numpy(), (size, size))
    return torch.from_numpy(fitted).permute(2, 0, 1).contiguous()


def fit_mask(mask: Bool[Tensor, "H W"], size: int) -> Bool[Tensor, "size size"]:
    """A mask cropped and scaled as `fit_picture` does the picture under it; True where any part of a pixel is."""
    if mask.shape == (size, size):
        return mask
    image = Image.fromarray(crop(mask.numpy().astype(np.uint8) * 255, (size, size)))
    return torch.from_numpy(np.array(image.resize((size, size), Image.Resampling.BOX)) > 0)


def _read(path: str, key: str, background: tuple[int, int, int, int]) -> Image.Image:
    where = f"{key}={path}"
    try:
        payload = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{where}: {(error.strerror or str(error)).lower()}; {REMEDY}") from error
    _check_header(payload, where)
    try:
        return decode_rgb(payload, background)
    except Exception as error:  # codecs raise what they like on damaged bytes
        raise ValueError(f"{where}: damaged ({error}); save the picture again") from error


def _check_header(payload: bytes, where: str) -> None:
    """Refuse what is no single picture of a size that can be drawn, before any pixel is decoded."""
    try:
        width, height, frames = _header(payload)
    except UnidentifiedImageError as error:
        raise ValueError(f"{where}: {_what(payload)}; {REMEDY}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{where}: an enormous picture; scale it down to {MOST_PIXELS:,} pixels at most") from error
    except Exception as error:
        raise ValueError(f"{where}: damaged ({error}); save the picture again") from error
    if width * height > MOST_PIXELS:
        raise ValueError(f"{where}: {width} x {height} is too large; scale it down to {MOST_PIXELS:,} pixels at most")
    if frames > 1:
        raise ValueError(f"{where}: an animation of {frames} frames; save one of them as a picture of its own")


def _header(payload: bytes) -> tuple[int, int, int]:
    """Width, height and frames; with metadata that cannot be read left out."""
    try:
        return _opened(payload)
    except Image.DecompressionBombError:
        raise
    except Exception:
        pixels = pixels_alone(payload)
        if pixels is None:
            raise
    return _opened(pixels)


def _opened(payload: bytes) -> tuple[int, int, int]:
    with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(payload), formats=IMAGE_FORMATS) as image:
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # cameras put a preview behind a photo
        return image.width, image.height, frames


def _what(payload: bytes) -> str:
    """What a file is that is not read, where its first bytes say so."""
    if payload[4:8] == b"ftyp":
        return "an HEIC or AVIF picture or a film, which are not read"
    found = (name for magic, name in OTHERS.items() if payload.startswith(magic))
    return next((f"a {name} file, which is not read" for name in found), "holds no picture")


def _pixels(image: Image.Image) -> UInt8[Tensor, "3 H W"]:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
