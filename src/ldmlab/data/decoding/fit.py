"""Pictures cropped and scaled to the size that a model sees."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

Pixels = NDArray[np.uint8]
Shape = tuple[int, int]


def fit(pixels: Pixels, size: Shape, down: float = 0.5, across: float = 0.5, by_pillow: bool = False) -> Pixels:
    """Crop pixels (H, W, 3) to the shape of `size`, and scale the crop to it: bicubic, antialiased.

    PyTorch's kernels for bytes are Pillow's with weights of 16 bits: 5 times as fast, at most 1 of 255 apart
    where pictures become smaller, and 2 where they become larger.

    Args:
        pixels: the whole picture, which stays as it is where it has the size.
        size: (rows, columns) that are wanted.
        down: where the crop lies, from 0 (top) to 1 (bottom) of the room there is.
        across: as `down`, from 0 (left) to 1 (right).
        by_pillow: scale by Pillow.

    Returns:
        (rows, columns, 3), in any order of memory.
    """
    part = crop(pixels, size, down, across)
    return part if part.shape[:2] == size else _scaled(np.ascontiguousarray(part), size, by_pillow)


def crop(pixels: Pixels, size: Shape, down: float = 0.5, across: float = 0.5) -> Pixels:
    """The largest part of pixels (H, W, ...) that is shaped as `size`, where `fit` has it."""
    rows, columns = crop_shape(pixels.shape[:2], size)
    top, left = _place(down, pixels.shape[0] - rows), _place(across, pixels.shape[1] - columns)
    return pixels[top : top + rows, left : left + columns]


def crop_shape(shape: tuple[int, ...], size: Shape) -> Shape:
    """(rows, columns) of the largest part of a picture that is shaped as `size`, in whole pixels."""
    (height, width), (rows, columns) = shape, size
    return min(height, _ratio(width, rows, columns)), min(width, _ratio(height, columns, rows))


def _ratio(length: int, numerator: int, denominator: int) -> int:
    """length * numerator / denominator, rounded, and at least 1."""
    return max(1, (2 * length * numerator + denominator) // (2 * denominator))


def _place(fraction: float, room: int) -> int:
    """Choose evenly among the room + 1 places that there are."""
    return min(int(fraction * (room + 1)), room)


def _scaled(pixels: Pixels, size: Shape, by_pillow: bool) -> Pixels:
    if by_pillow:
        columns = Image.fromarray(pixels).resize((size[1], pixels.shape[0]), Image.Resampling.BICUBIC)
        return np.array(columns.resize(size[::-1], Image.Resampling.BICUBIC))  # rows last, as PyTorch does it
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[
        None
    ]  # as they lie in memory: channels last has a kernel of its own
    scaled: Pixels = interpolate(planes, size, mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    return scaled
