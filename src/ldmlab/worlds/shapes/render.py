"""Draw a scene: polygons and discs at four times the size, averaged down."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from ldmlab.worlds.shapes.scene import BACKGROUNDS, COLOURS, SIZES, Scene, SceneObject

SUPERSAMPLING = 4
OUTLINE_SCALE = {"circle": 0.85, "square": 1.07, "triangle": 1.06, "star": 1.04}
"""Circumradius over nominal radius, so that shapes of one size cover comparable areas."""
STAR_INNER = 0.45

Point = tuple[float, float]


def render(scene: Scene, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Draw the scene as an anti-aliased RGB picture of `size` x `size` pixels; the same scene gives the same bytes."""
    if size < 1:
        raise ValueError(f"size={size}: an image side is at least 1 pixel; give for example size=64")
    side = size * SUPERSAMPLING
    canvas = Image.new("RGB", (side, side), BACKGROUNDS[scene.background])
    pen = ImageDraw.Draw(canvas)
    for item in scene.objects:
        _draw(pen, item, side)
    return np.asarray(canvas.reduce(SUPERSAMPLING))


def _draw(pen: ImageDraw.ImageDraw, item: SceneObject, side: int) -> None:
    colour = COLOURS[item.colour]
    if item.shape == "circle":
        x, y = item.x * side, item.y * side
        radius = OUTLINE_SCALE["circle"] * SIZES[item.size] * side
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        pen.polygon([(x * side, y * side) for x, y in outline(item)], fill=colour)


def outline(item: SceneObject) -> list[Point]:
    """Return the corners of a square, triangle or star as fractions of the side.

    The corners turn about the object's centre, which is the centre of the unturned shape's bounding box.
    """
    radius = OUTLINE_SCALE[item.shape] * SIZES[item.size]
    corners = _CORNERS[item.shape]
    turn = math.radians(item.angle)
    cos, sin = math.cos(turn) * radius, math.sin(turn) * radius
    return [(item.x + cos * x + sin * y, item.y - sin * x + cos * y) for x, y in corners]


def _ring(radii: list[float], start: float) -> list[Point]:
    """Corners at equal angles with y downwards, moved so that their bounding box is centred."""
    angles = [math.radians(start + 360 * k / len(radii)) for k in range(len(radii))]
    points = [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]
    middle = (max(y for _, y in points) + min(y for _, y in points)) / 2
    return [(x, y - middle) for x, y in points]


_CORNERS = {
    "square": _ring([1.0] * 4, -45),
    "triangle": _ring([1.0] * 3, -90),
    "star": _ring([1.0, STAR_INNER] * 5, -90),
}
