"""Encoded image bytes to RGB pixels."""

from __future__ import annotations

import warnings
from contextlib import suppress
from functools import partial
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ldmlab.data.decoding.decoders import JPEG, Decoder, decoder_of
from ldmlab.data.decoding.fit import fit
from ldmlab.data.decoding.jpeg import ScaleOf, decode_jpeg, orientation, scale_for, unscaled
from ldmlab.data.decoding.png_chunks import pixels_alone
from ldmlab.data.shards.shard_scan import IMAGE_FORMATS

WHITE = (255, 255, 255, 255)


def decode_image(
    payload: bytes,
    size: int | tuple[int, int],
    down: float = 0.5,
    across: float = 0.5,
    decoder: Decoder | None = None,
) -> NDArray[np.uint8]:
    """Decode JPEG, PNG or WebP to (H, W, 3): upright, on white where transparent, cropped, antialiased.

    16-bit grey is scaled, not clipped. CMYK and palettes become RGB. An image of the right size is not resampled. All
    decoders raise on the same files, and give the same pixels but for the last bit of scaling, see `fit`.

    Args:
        payload: the file's bytes.
        size: (height, width) in pixels; one number for a square.
        down: where the crop lies, from 0 (top) to 1 (bottom) of the room there is; 0.5 is the centre.
        across: as `down`, from 0 (left) to 1 (right).
        decoder: the libraries to use; the quickest if not given.

    Raises:
        Exception: whatever Pillow raises on damaged bytes.
    """
    decoder = decoder or decoder_of()
    shape = (size, size) if isinstance(size, int) else size
    scale_of = partial(scale_for, size=shape) if decoder.scaled else unscaled
    quick = JPEG.get(decoder.name)
    pixels = decode_jpeg(payload, quick, scale_of) if quick else None
    if pixels is None:
        pixels = np.array(decode_rgb(payload, scale_of=scale_of))
    return fit(pixels, shape, down, across, by_pillow=decoder.name == "pillow")


def decode_rgb(
    payload: bytes,
    background: tuple[int, int, int, int] = WHITE,
    scale_of: ScaleOf = unscaled,
) -> Image.Image:
    """Decode to RGB as `decode_image` does, but at the image's own size and on any background.

    Damaged metadata (an orientation, a profile, a text) cost themselves only.

    Args:
        payload: the file's bytes.
        background: of what is transparent, RGBA.
        scale_of: by which a JPEG is made smaller as it is decoded.

    Raises:
        Exception: whatever the codec raises on damaged bytes.
    """
    with warnings.catch_warnings(action="ignore"):
        try:
            return _decode(payload, background, scale_of)
        except Exception:
            pixels = pixels_alone(payload)
            if pixels is None:
                raise
        return _decode(pixels, background, scale_of)


def _decode(payload: bytes, background: tuple[int, int, int, int], scale_of: ScaleOf) -> Image.Image:
    with Image.open(BytesIO(payload), formats=IMAGE_FORMATS) as image:
        if scale_of is not unscaled and image.format in ("JPEG", "MPO"):
            _draft(image, scale_of)
        image.load()
        if "exif" in image.info:
            _turn_upright(image)
        return to_rgb(image, background)


def _draft(image: Image.Image, scale_of: ScaleOf) -> None:
    """Have a JPEG made smaller as it is decoded."""
    upright = image.size if orientation(image) > 4 else image.size[::-1]  # from 5 on, rows become columns
    scale = scale_of(upright)
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))


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
