"""Say from pixels alone what a picture shows, and compare that with what a caption asked for.

`look` never sees the caption. It finds the objects by their distance from the background, names colours by the
nearest one, and shapes by the nearest silhouette after moving every object to the same centre and area; the area
then tells the size. Whatever is seen gets its best guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageFilter

from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import (
    ANGLE_JITTER,
    BACKGROUNDS,
    COLOURS,
    PLACE_CENTRES,
    SHAPES,
    SIZES,
    Rgb,
    Scene,
    SceneObject,
)
from ldmlab.worlds.shapes.segment import WORKING_SIZE, Layer, segment

PATCH = 24
"""Side of the patch on which silhouettes are compared; it spans 2.2 times the square root of the area."""
PATCH_SPAN = 2.2
PLACE_REACH = 0.17
"""An object farther than this from every place (fraction of the side) is at none."""
BACKGROUND_REACH = 70.0
"""A background farther than this (RGB distance) from every known one has no name."""

_KINDS = ("shape", "colour", "size")


@dataclass(frozen=True)
class SeenObject:
    """An object as seen; x and y are the centre of its bounding box as fractions of the side."""

    shape: str
    colour: str
    size: str
    x: float
    y: float

    @property
    def place(self) -> str | None:
        """The nearest place, None if none is near."""
        away = {place: np.hypot(self.x - x, self.y - y) for place, (x, y) in PLACE_CENTRES.items()}
        nearest = min(away, key=lambda place: float(away[place]))
        return nearest if away[nearest] <= PLACE_REACH else None


@dataclass(frozen=True)
class Seen:
    """What a picture shows; `background` is None where it is none of the known ones."""

    objects: tuple[SeenObject, ...]
    background: str | None


@dataclass(frozen=True)
class _Silhouette:
    """A drawn object at the patch's centre and area; lengths in units of the square root of its area."""

    shape: str
    patch: Float[np.ndarray, "P P"]
    offset: tuple[float, float]
    radius: float


def look(image: UInt8[np.ndarray, "H W 3"]) -> Seen:
    """Name the objects and the background of a picture of any size.

    Raises:
        ValueError: the picture is not uint8 of shape (H, W, 3).
    """
    background, layers = segment(image)
    name, away = _nearest(background, BACKGROUNDS)
    return Seen(tuple(_name(layer) for layer in layers), name if away <= BACKGROUND_REACH else None)


def verify(seen: Seen, asked: Mapping[str, Any]) -> dict[str, bool]:
    """Compare what was seen with what a caption asked for (`asked` of captions.py).

    Returns:
        For every attribute the caption mentions (of count, shape, colour, size, place, relation, background) whether
        it is right. Seen objects are matched to the asked ones so that most is right; an attribute is right only if
        it is for every object asked for. Extra objects only make the count wrong.
    """
    marks = _marks(match(seen, asked), asked)
    verdict = {"count": len(seen.objects) == len(asked["objects"])}
    verdict |= {key: bool(mark == 1) for key, mark in marks.items()}
    if asked["background"] is not None:
        verdict["background"] = seen.background == asked["background"]
    return verdict


def match(seen: Seen, asked: Mapping[str, Any]) -> tuple[SeenObject, ...] | None:
    """The seen object for each of those asked for, so that most is right; None if there are too few."""
    wanted = len(asked["objects"])
    if len(seen.objects) < wanted:
        return None
    return max(permutations(seen.objects, wanted), key=lambda found: _worth(_marks(found, asked)))


def _worth(marks: Mapping[str, float]) -> tuple[float, float]:
    """Rank matchings by what the objects are; where they stand decides among equals."""
    kinds = sum(mark for key, mark in marks.items() if key in _KINDS)
    return kinds, sum(marks.values()) - kinds


def _marks(match: tuple[SeenObject, ...] | None, asked: Mapping[str, Any]) -> dict[str, float]:
    """Return for every attribute asked for the fraction that is right under one matching."""
    marks = {}
    for key in _KINDS:
        wanted = [each[key] for each in asked["objects"]]
        if any(wanted):
            marks[key] = 0.0 if match is None else _share(key, match, wanted)
    if asked["place"] is not None:
        marks["place"] = float(match is not None and match[0].place == asked["place"])
    if asked["relation"] is not None:
        marks["relation"] = float(match is not None and _holds(asked["relation"], *match))
    return marks


def _share(key: str, match: tuple[SeenObject, ...], wanted: list[str | None]) -> float:
    right = [want is None or getattr(item, key) == want for item, want in zip(match, wanted, strict=True)]
    return sum(right) / len(right)


def _holds(relation: str, first: SeenObject, second: SeenObject) -> bool:
    dx, dy = second.x - first.x, second.y - first.y
    return bool(dx > abs(dy)) if relation == "left of" else bool(dy > abs(dx))


def _nearest(colour: Float[np.ndarray, " rgb"], names: Mapping[str, Rgb]) -> tuple[str, float]:
    away = {name: float(np.linalg.norm(colour - np.array(rgb))) for name, rgb in names.items()}
    nearest = min(away, key=lambda name: away[name])
    return nearest, away[nearest]


def _name(layer: Layer) -> SeenObject:
    patch = _patch(layer)
    best = min(_silhouettes(), key=lambda known: float(np.square(known.patch - patch).sum()))
    unit = layer.area**0.5 / WORKING_SIZE
    radius = best.radius * unit
    size = min(SIZES, key=lambda name: abs(np.log(SIZES[name] / radius)))
    x, y = (c / WORKING_SIZE - o * unit for c, o in zip((layer.x, layer.y), best.offset, strict=True))
    return SeenObject(best.shape, _nearest(layer.colour, COLOURS)[0], size, round(x, 4), round(y, 4))


def _patch(layer: Layer) -> Float[np.ndarray, "P P"]:
    """Sample an object's coverage on a patch that is centred on it and scaled by its area."""
    step = PATCH_SPAN * layer.area**0.5 / PATCH
    affine = (step, 0, layer.x - step * PATCH / 2, 0, step, layer.y - step * PATCH / 2)
    coverage = Image.fromarray(layer.coverage.astype(np.float32))
    patch = coverage.transform((PATCH, PATCH), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return np.asarray(patch, dtype=np.float64)


@cache
def _silhouettes() -> tuple[_Silhouette, ...]:
    """Draw every shape in every size at several angles, sharp and blurred, and look at it as at any picture."""
    angles = np.linspace(-1.25 * ANGLE_JITTER, 1.25 * ANGLE_JITTER, 5)
    return tuple(_silhouette(*each) for each in product(SHAPES, SIZES, angles.tolist(), (0.0, 1.0)))


def _silhouette(shape: str, size: str, angle: float, blur: float) -> _Silhouette:
    scene = Scene((SceneObject(shape, "blue", size, 0.5, 0.5, angle),), "white", place="middle")
    picture = Image.fromarray(render(scene, WORKING_SIZE)).filter(ImageFilter.GaussianBlur(blur))
    _, (layer,) = segment(np.asarray(picture))
    root = layer.area**0.5
    offset = (layer.x - WORKING_SIZE / 2) / root, (layer.y - WORKING_SIZE / 2) / root
    return _Silhouette(shape, _patch(layer), offset, SIZES[size] * WORKING_SIZE / root)
