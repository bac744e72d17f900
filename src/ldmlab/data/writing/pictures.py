"""A picture's file as a sample: checked, upright, made smaller where it is asked for, else kept as it is."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, UnidentifiedImageError

from ldmlab.data.decoding.decode import decode_rgb
from ldmlab.data.problems import Defect
from ldmlab.data.sample_source import Encoded, Sample, UnusableError
from ldmlab.data.shards.shard_scan import IMAGE_FORMATS, MAX_PIXELS, check_image_header

EXTENSIONS = dict(zip(IMAGE_FORMATS, ("jpg", "png", "webp"), strict=True))


def sample_of(
    payload: bytes, name: str, caption: str, meta: dict[str, Any], label: int | None, image_size: int | None
) -> Sample:
    """Make a sample of a picture's file.

    Args:
        payload: the file's bytes, JPEG, PNG or WebP.
        name: what the user knows it by.
        caption: what it shows, "" for none.
        meta: plain JSON; the picture's `original_width` and `original_height`, as shown, are added.
        label: of its class.
        image_size: pixels of the shorter side that a larger picture is made smaller to; None keeps the file as it is.

    Raises:
        UnusableError: it is no picture that can be read, or has too many pixels.
    """
    if check_image_header(io.BytesIO(payload), MAX_PIXELS) is Defect.OVERSIZED_IMAGE:
        raise UnusableError(Defect.OVERSIZED_IMAGE, name, f"more than {MAX_PIXELS // 2**20} million pixels")
    try:
        image = decode_rgb(payload)
    except UnidentifiedImageError as error:
        raise UnusableError(Defect.UNDECODABLE_IMAGE, name, "no JPEG, PNG or WebP inside") from error
    except Exception as error:  # a codec raises whatever it likes on damaged bytes
        raise UnusableError(Defect.UNDECODABLE_IMAGE, name, str(error)) from error
    width, height = image.size
    meta = {**meta, "original_width": width, "original_height": height}
    scale = 1 if image_size is None else min(1, image_size / min(width, height))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        smaller = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
        return Sample(smaller, caption, meta, label)
    return Sample(image, caption, meta, label, Encoded(_extension(payload), payload))


def check_image_size(image_size: int | None) -> None:
    """Raise ValueError unless pictures can be made smaller to so many pixels."""
    if image_size is not None and image_size < 1:
        raise ValueError(f"dataset.image_size={image_size} is too small; give 1 or more, or null")


def check_heldout(share: float) -> None:
    """Raise ValueError unless it is a share that leaves something to train on."""
    if not 0 <= share < 1:
        raise ValueError(f"dataset.heldout={share} is no share; give a number from 0 to below 1, such as 0.1")


def _extension(payload: bytes) -> str:
    with Image.open(io.BytesIO(payload), formats=IMAGE_FORMATS) as image:
        return EXTENSIONS[str(image.format)]
