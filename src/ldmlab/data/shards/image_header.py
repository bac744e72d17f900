"""What an image's header says, without its pixels."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import BinaryIO

from PIL import Image

from ldmlab.data.decoding.png_chunks import SIGNATURE, pixels_alone
from ldmlab.data.index.sample_table import MOST_IMAGE_BYTES
from ldmlab.data.problems import Defect
from ldmlab.data.shards.file_view import FileView, SpanReader
from ldmlab.data.shards.tar_walk import Member

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")
HEADER = 4096
"""Bytes of an image that are read at once."""
ORIENTATION = 0x0112
LYING = (5, 6, 7, 8)
"""Orientations of EXIF that swap width and height."""
Sides = tuple[int, int]


def check_image(data: FileView, member: Member, max_pixels: int) -> Sides | Defect:
    """Return width and height of an image in a shard, as it is shown, or what its header says against it."""
    if member.size > MOST_IMAGE_BYTES:
        return Defect.OVERSIZED_IMAGE
    found = image_sides(io.BufferedReader(SpanReader(data, member.offset, member.size), HEADER), max_pixels)
    if found is Defect.UNDECODABLE_IMAGE and data[member.offset : member.offset + len(SIGNATURE)] == SIGNATURE:
        pixels = pixels_alone(data[member.offset : member.offset + member.size])
        return image_sides(io.BytesIO(pixels or b""), max_pixels)
    return found


def check_image_header(file: BinaryIO, max_pixels: int) -> Defect | None:
    """Return what an image's header alone says against it: unreadable, or more pixels than allowed."""
    found = image_sides(file, max_pixels)
    return found if isinstance(found, Defect) else None


def image_sides(file: BinaryIO, max_pixels: int) -> Sides | Defect:
    """Return width and height of an image as it is shown, upright, or what its header says against it."""
    try:
        with Image.open(file, formats=IMAGE_FORMATS) as image:
            width, height = image.size
            lies = "exif" in image.info and _lies(image)
    except Image.DecompressionBombError:
        return Defect.OVERSIZED_IMAGE
    except OSError as error:
        if error.errno is not None:
            raise  # of the disk, not of the image
        return Defect.UNDECODABLE_IMAGE
    except Exception:  # a codec raises whatever it likes on damaged bytes
        return Defect.UNDECODABLE_IMAGE
    if width * height > max_pixels:
        return Defect.OVERSIZED_IMAGE
    return (height, width) if lies else (width, height)


def _lies(image: Image.Image) -> bool:
    with suppress(Exception):  # broken metadata say nothing against the pixels
        return image.getexif().get(ORIENTATION) in LYING
    return False
