"""Which sizes pictures may have in training: aspect-ratio buckets, and which of them fits a picture best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""Height and width in pixels."""
STEPS = 8
"""Automatic sides are multiples of about this part of the square's."""
MOST_BUCKETS = 64


def bucket_sizes(buckets: Any, image_size: int, multiple: int = 1) -> tuple[Size, ...]:
    """Return what `data.buckets` stands for.

    Args:
        buckets: "auto", or a list of [height, width].
        image_size: side of the square that automatic buckets have about as many pixels as.
        multiple: what automatic sides are multiples of.

    Raises:
        ValueError: it is neither.
    """
    if buckets == "auto":
        return automatic_sizes(image_size, multiple)
    try:
        sizes = tuple((height, width) for height, width in buckets)
    except (TypeError, ValueError):
        sizes = ()
    whole = all(type(side) is int and side > 0 for size in sizes for side in size)
    if not sizes or not whole or len(set(sizes)) < len(sizes) or len(sizes) > MOST_BUCKETS:
        raise ValueError(
            f"data.buckets={buckets}: give auto, or a list [[HEIGHT,WIDTH],...] of up to {MOST_BUCKETS} different sizes"
        )
    return sizes


def automatic_sizes(image_size: int, multiple: int = 1) -> tuple[Size, ...]:
    """Return sizes of at most as many pixels as a square, from four times as wide as high to four times as high.

    For each short side, a multiple of about an eighth of the square's, the longest side of such multiples, both ways
    up: much as NovelAI's buckets (2022, "Improvements on Stable Diffusion"), multiples of 64 for 512 pixels.

    Args:
        image_size: side of the square in pixels.
        multiple: all sides but the square's are multiples of it.
    """
    step = multiple * max(1, round(image_size / STEPS / multiple))
    first = -(-image_size // 2 // step) * step
    wide = [(short, image_size**2 // short // step * step) for short in range(first, image_size, step)]
    wide = [(short, long) for short, long in wide if long > short]
    high = [(long, short) for short, long in reversed(wide)]
    return (*wide, (image_size, image_size), *high)


def nearest_bucket(
    widths: NDArray[np.float64], heights: NDArray[np.float64], sizes: Sequence[Size]
) -> NDArray[np.int64]:
    """Return for each picture (N,) the number of the size whose aspect ratio is nearest, the first of equals.

    Args:
        widths: of the pictures, in any unit; what is not known is taken for a square.
        heights: of the pictures.
        sizes: to choose from.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        aspects = np.nan_to_num(np.log(widths / heights), nan=0.0)
    of_sizes = np.array([np.log(width / height) for height, width in sizes])
    return np.abs(aspects[:, None] - of_sizes).argmin(axis=1)


def without_small(counts: NDArray[np.int64], sizes: Sequence[Size], least: int) -> NDArray[np.int64]:
    """Return into which size each one's pictures go, so that none is left with a few (K,).

    The smallest one that has less than `least` pictures is joined to the one with the nearest aspect ratio, and so on.

    Args:
        counts: pictures of each size (K,).
        sizes: all K.
        least: pictures that a size must have.
    """
    counts, into = counts.copy(), np.arange(len(sizes))
    aspects = np.array([np.log(width / height) for height, width in sizes])
    while (used := np.flatnonzero(counts)).size > 1 and counts[used].min() < least:
        smallest = used[counts[used].argmin()]
        others = used[used != smallest]
        target = others[np.abs(aspects[others] - aspects[smallest]).argmin()]
        counts[target] += counts[smallest]
        counts[smallest] = 0
        into[into == smallest] = target
    return into
