"""Find the objects of a picture: a soft layer of coverage for every one, on a plain background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

WORKING_SIZE = 64
"""Pictures are brought to this side before they are looked at."""
FOREGROUND_DISTANCE = 45.0
"""RGB distance from the background from which a pixel can belong to an object."""
SMALLEST_AREA = 0.25 * 0.031
"""Fraction of the picture below which a component is a speck: a quarter of the smallest object (a small star)."""


@dataclass(frozen=True)
class Layer:
    """One object: its colour (0..255), how much of every pixel it covers (0..1), its area and centre in pixels."""

    colour: Float[np.ndarray, " rgb"]
    coverage: Float[np.ndarray, "H W"]
    area: float
    x: float
    y: float


def segment(image: UInt8[np.ndarray, "H W 3"]) -> tuple[Float[np.ndarray, " rgb"], list[Layer]]:
    """Return the colour of the background and the objects in reading order of their topmost pixels."""
    pixels = _working_copy(image)
    background = _border_colour(pixels)
    distance = np.linalg.norm(pixels - background, axis=-1)
    labels = _components(distance)
    grown = _grow(labels)
    layers = []
    for label in range(1, int(labels.max()) + 1):
        colour = _solid_colour(pixels, distance, labels == label)
        coverage = _coverage(pixels, background, colour) * (grown == label)
        if coverage.sum() >= SMALLEST_AREA * WORKING_SIZE**2:
            layers.append(_layer(colour, coverage))
    return background, layers


def _working_copy(image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "S S 3"]:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image of shape {image.shape} and dtype {image.dtype}: give uint8 pixels of shape (H, W, 3)")
    if image.shape[:2] != (WORKING_SIZE, WORKING_SIZE):
        size = (WORKING_SIZE, WORKING_SIZE)
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    return image.astype(np.float64)


def _border_colour(pixels: Float[np.ndarray, "S S 3"]) -> Float[np.ndarray, " rgb"]:
    border = np.ones(pixels.shape[:2], dtype=bool)
    border[2:-2, 2:-2] = False
    colour: Float[np.ndarray, " rgb"] = np.median(pixels[border], axis=0)
    return colour


def _components(distance: Float[np.ndarray, "S S"]) -> Int[np.ndarray, "S S"]:
    """Label connected pixels that are more object than background.

    A pixel has to reach half of the strongest distance nearby, so that blur does not bridge two close objects.
    """
    from scipy import ndimage

    strongest = ndimage.maximum_filter(distance, size=7)
    mask = (distance > FOREGROUND_DISTANCE) & (distance > 0.5 * strongest)
    labels, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, labels, np.arange(count + 1))
    keep = np.flatnonzero(sizes >= 0.5 * SMALLEST_AREA * WORKING_SIZE**2)
    renumber = np.zeros(count + 1, dtype=np.int64)
    renumber[keep] = np.arange(1, len(keep) + 1)
    return renumber[labels]


def _grow(labels: Int[np.ndarray, "S S"], reach: int = 3) -> Int[np.ndarray, "S S"]:
    """Give background pixels within `reach` to the nearest object: its blurred edge lies there."""
    from scipy import ndimage

    if not labels.any():
        return labels
    away, (rows, columns) = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    return np.where(away <= reach, labels[rows, columns], 0)


def _solid_colour(
    pixels: Float[np.ndarray, "S S 3"], distance: Float[np.ndarray, "S S"], core: Bool[np.ndarray, "S S"]
) -> Float[np.ndarray, " rgb"]:
    """Take the median inside a component; where it is too thin to have an inside, of its strongest pixels."""
    from scipy import ndimage

    inner = ndimage.binary_erosion(core)
    solid = inner if inner.sum() >= 8 else core & (distance >= np.quantile(distance[core], 0.3))
    colour: Float[np.ndarray, " rgb"] = np.median(pixels[solid], axis=0)
    return colour


def _coverage(
    pixels: Float[np.ndarray, "S S 3"], background: Float[np.ndarray, " rgb"], colour: Float[np.ndarray, " rgb"]
) -> Float[np.ndarray, "S S"]:
    """Project pixels onto the line from the background (0) to the colour (1)."""
    direction = colour - background
    length = max(float(direction @ direction), 1.0)
    return np.clip((pixels - background) @ direction / length, 0, 1)


def _layer(colour: Float[np.ndarray, " rgb"], coverage: Float[np.ndarray, "S S"]) -> Layer:
    area = float(coverage.sum())
    centres = np.arange(WORKING_SIZE) + 0.5
    x, y = (float(coverage.sum(axis=axis) @ centres / area) for axis in (0, 1))
    return Layer(colour, coverage, area, x, y)
