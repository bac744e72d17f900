"""A picture on a larger canvas.

Shapes: fH x fW the picture, cH x cW the canvas, in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

PLACES: dict[str, tuple[float, float]] = {
    "top_left": (0.0, 0.0),
    "top": (0.0, 0.5),
    "top_right": (0.0, 1.0),
    "left": (0.5, 0.0),
    "centre": (0.5, 0.5),
    "right": (0.5, 1.0),
    "bottom_left": (1.0, 0.0),
    "bottom": (1.0, 0.5),
    "bottom_right": (1.0, 1.0),
}
"""Shares of the free rows above the picture and of the free columns to its left."""
GRAY = 128


def on_canvas(
    image: UInt8[Tensor, "3 fH fW"], canvas: Sequence[int], place: str | Sequence[int] = "centre"
) -> tuple[UInt8[Tensor, "3 cH cW"], Bool[Tensor, "cH cW"]]:
    """The picture on grey, and True wherever it is not.

    Args:
        image: the picture.
        canvas: rows and columns.
        place: a name of `PLACES`, or the row and the column of the picture's first pixel.

    Raises:
        ValueError: the picture does not lie within the canvas, or covers it.
    """
    height, width = image.shape[-2:]
    top, left = _corner(place, (height, width), canvas)
    _check(image, canvas, top, left)
    picture = torch.full((3, *canvas), GRAY, dtype=torch.uint8)
    free = torch.ones(*canvas, dtype=torch.bool)
    inside = slice(top, top + height), slice(left, left + width)
    picture[:, *inside] = image.cpu()
    free[inside] = False
    return picture, free


def check_place(place: str | Sequence[int]) -> None:
    """Refuse what is no place.

    Raises:
        ValueError: it is neither a known name nor two numbers.
    """
    if place not in PLACES if isinstance(place, str) else len(place) != 2:
        raise ValueError(f"place={place}: choose one of {', '.join(PLACES)}, or give [ROW,COLUMN] in pixels")


def _corner(place: str | Sequence[int], size: tuple[int, int], canvas: Sequence[int]) -> tuple[int, int]:
    check_place(place)
    if not isinstance(place, str):
        return place[0], place[1]
    rows, columns = PLACES[place]
    return round(rows * (canvas[0] - size[0])), round(columns * (canvas[1] - size[1]))


def _check(image: Tensor, canvas: Sequence[int], top: int, left: int) -> None:
    height, width = image.shape[-2:]
    size = f"[{canvas[0]},{canvas[1]}]"
    if canvas[0] < height or canvas[1] < width:
        raise ValueError(
            f"canvas={size}: smaller than the image of [{height},{width}]; give at least its rows and columns"
        )
    if (canvas[0], canvas[1]) == (height, width):
        raise ValueError(f"canvas={size}: the image covers it, so there is nothing to draw; give a larger one")
    if not (0 <= top <= canvas[0] - height and 0 <= left <= canvas[1] - width):
        raise ValueError(
            f"place=[{top},{left}]: the image of [{height},{width}] would leave the canvas of {size}; the place may be "
            f"up to [{canvas[0] - height},{canvas[1] - width}]"
        )
