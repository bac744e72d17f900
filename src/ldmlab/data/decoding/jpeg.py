"""JPEG by libraries that are quicker than Pillow and give the same pixels.

All are libjpeg-turbo inside, so a file that is whole decodes to the same bits. What is read here is upright, and RGB or
grey; other files, and whatever these libraries refuse, are left to Pillow.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ldmlab.data.decoding.fit import crop_shape

START = b"\xff\xd8\xff"
SCALES = (8, 4, 2)
Pixels = NDArray[np.uint8]
Shape = tuple[int, int]
DecodeJpeg = Callable[[bytes, Shape, int], Pixels]
"""(payload, rows and columns of the picture, scale) -> RGB pixels of 1/scale of it."""
ScaleOf = Callable[[Shape], int]
"""Rows and columns of a picture -> 1, 2, 4 or 8, by which it is made smaller as it is decoded."""


def decode_jpeg(payload: bytes, decode: DecodeJpeg, scale_of: ScaleOf) -> Pixels | None:
    """Return pixels (H, W, 3) of a JPEG; None where the file is another one, or one for Pillow.

    Args:
        payload: the file's bytes.
        decode: the library.
        scale_of: by which the picture is made smaller.
    """
    if not payload.startswith(START):
        return None
    with warnings.catch_warnings(action="ignore"), suppress(Exception):  # which are any, where bytes are damaged
        with Image.open(BytesIO(payload), formats=("JPEG",)) as header:
            shape = header.height, header.width
            plain = header.mode in ("RGB", "L") and orientation(header) == 1
        return decode(payload, shape, scale_of(shape)) if plain else None
    return None


def by_simplejpeg(payload: bytes, shape: Shape, scale: int) -> Pixels:
    """Decode by simplejpeg. ValueError where anything is wrong with the file."""
    import simplejpeg

    if simplejpeg.decode_jpeg_header(payload)[:2] != shape:
        raise ValueError("two headers")  # and the size of one of them was checked
    rows, columns = (-(-side // scale) for side in shape)
    pixels: Pixels = simplejpeg.decode_jpeg(payload, "RGB", min_height=rows, min_width=columns, min_factor=scale)
    return pixels


def by_torchvision(payload: bytes, shape: Shape, scale: int) -> Pixels:
    """Decode by torchvision, at scale 1 alone. RuntimeError where anything is wrong with the file."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    planes = decode_jpeg(torch.frombuffer(bytearray(payload), dtype=torch.uint8), mode=ImageReadMode.RGB)
    pixels: Pixels = planes.permute(1, 2, 0).numpy()
    return pixels


def orientation(image: Image.Image) -> int:
    """How the picture lies, 1 to 8 as in TIFF; 1 is upright, which it is taken to be where this cannot be read."""
    with suppress(Exception):
        found = image.getexif().get(ExifTags.Base.Orientation, 1) if "exif" in image.info else 1
        return found if found in range(1, 9) else 1
    return 1


def unscaled(shape: Shape) -> int:
    """Every picture is decoded whole."""
    return 1


def scale_for(shape: Shape, size: Shape) -> int:
    """The most by which a picture can be made smaller so that the part of it that has the shape of `size` still has it.

    Args:
        shape: rows and columns of the picture.
        size: those that are wanted.
    """
    least = [-(-side * want // part) for side, part, want in zip(shape, crop_shape(shape, size), size, strict=True)]
    room = min(side // needed for side, needed in zip(shape, least, strict=True))
    return next((scale for scale in SCALES if scale <= room), 1)
