"""Encoded image bytes to square RGB pixels."""

from __future__ import annotations

import warnings
from contextlib import suppress
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ldmlab.data.decoding.png_chunks import pixels_alone
from ldmlab.data.shards.shard_scan import IMAGE_FORMATS

WHITE = (255, 255, 255, 255)


def decode_image(
    payload: bytes, size: int | tuple[int, int], down: float = 0.5, across: float = 0.5
) -> NDArray[np.uint8]:
    """Decode JPEG, PNG or WebP to (H, W, 3): upright, on white where transparent, cropped, antialiased.

    16-bit grey is scaled, not clipped. CMYK and palettes become RGB. An image of the right size is not resampled.

    Args:
        payload: the file's bytes.
        size: (height, width) in pixels; one number for a square.
        down: where the crop lies, from 0 (top) to 1 (bottom) of the room there is; 0.5 is the centre.
        across: as `down`, from 0 (left) to 1 (right).

    Raises:
        Exception: whatever the codec raises on damaged bytes.
    """
    rgb = decode_rgb(payload)
    height, width = (size, size) if isinstance(size, int) else size
    if rgb.size != (width, height):
        rgb = ImageOps.fit(rgb, (width, height), Image.Resampling.BICUBIC, centering=(across, down))
    return np.array(rgb)


def decode_rgb(payload: bytes, background: tuple[int, int, int, int] = WHITE) -> Image.Image:
    """Decode to RGB as `decode_image` does, but at the image's own size and on any background.

    Damaged metadata (an orientation, a profile, a text) cost themselves only.

    Raises:
        Exception: whatever the codec raises on damaged bytes.
    """
    with warnings.catch_warnings(action="ignore"):
        try:
            return _decode(payload, background)
        except Exception:
            pixels = pixels_alone(payload)
            if pixels is None:
                raise
        return _decode(pixels, background)


def _decode(payload: bytes, background: tuple[int, int, int, int]) -> Image.Image:
    with Image.open(BytesIO(payload), formats=IMAGE_FORMATS) as image:
        image.load()
        if "exif" in image.info:
            _turn_upright(image)
        return to_rgb(image, background)


def _turn_upright(image: Image.Image) -> None:
    """Apply the orientation, where it can be read: broken metadata say nothing against the pixels."""
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def to_rgb(image: Image.Image, background: tuple[int, int, int, int] = WHITE) -> Image.Image:
    """A picture of any mode as RGB: 16-bit grey scaled, on a background where it is transparent."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, background), rgba)
    return image.convert("RGB")
