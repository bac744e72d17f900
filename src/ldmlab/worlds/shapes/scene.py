"""Scenes: one object at a place, or two objects in a relation, on a plain background.

Coordinates are fractions of the image side, x to the right and y downwards. What a caption can say (shapes, colours,
sizes, place, relation, background) is the discrete part of a scene; positions and angles are jitter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

Rgb = tuple[int, int, int]
T = TypeVar("T")

SHAPES = ("circle", "square", "triangle", "star")
COLOURS: dict[str, Rgb] = {
    "red": (220, 30, 40),
    "green": (30, 150, 50),
    "blue": (40, 70, 225),
    "yellow": (250, 220, 40),
    "purple": (130, 40, 165),
    "orange": (245, 130, 20),
    "cyan": (40, 205, 225),
    "pink": (250, 140, 195),
}
SIZES: dict[str, float] = {"small": 0.15, "big": 0.22}
"""Nominal radius as a fraction of the image side; render.py scales it per shape so that areas are comparable."""

PLACE_CENTRES: dict[str, tuple[float, float]] = {
    "left": (0.27, 0.5),
    "right": (0.73, 0.5),
    "top": (0.5, 0.27),
    "bottom": (0.5, 0.73),
    "middle": (0.5, 0.5),
}
PLACES = tuple(PLACE_CENTRES)
PLACE_JITTER = 0.03

RELATION_CENTRES: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "left of": ((0.24, 0.5), (0.76, 0.5)),
    "above": ((0.5, 0.24), (0.5, 0.76)),
}
RELATIONS = tuple(RELATION_CENTRES)
RELATION_JITTER_ALONG = 0.015
"""Small enough that two big objects neither touch each other nor leave the picture."""
RELATION_JITTER_ACROSS = 0.04

BACKGROUNDS: dict[str, Rgb] = {"white": (255, 255, 255), "black": (0, 0, 0), "gray": (128, 128, 128)}
ANGLE_JITTER = 8.0


@dataclass(frozen=True)
class SceneObject:
    """One object: its names, its centre (fractions of the side) and its angle (degrees, counter-clockwise)."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    angle: float


@dataclass(frozen=True)
class Scene:
    """One object with a `place`, or two with a `relation` that reads `objects[0] <relation> objects[1]`."""

    objects: tuple[SceneObject, ...]
    background: str
    place: str | None = None
    relation: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts and lists; `from_json` gives an equal scene back."""
        return {**asdict(self), "objects": [asdict(o) for o in self.objects]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scene:
        """Rebuild a scene from what `to_json` returned."""
        objects = tuple(SceneObject(**o) for o in data["objects"])
        return cls(objects, data["background"], data["place"], data["relation"])

    def identity(self) -> str:
        """Name the discrete part, without jitter: scenes of one identity are the same scene to a caption."""
        names = [f"{o.size} {o.colour} {o.shape}" for o in self.objects]
        return f"{f' {self.relation} '.join(names)} | {self.place or 'pair'} | {self.background}"


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Draw one of the options uniformly."""
    return options[int(rng.integers(len(options)))]


def random_scene(rng: np.random.Generator, two_objects: float = 0.5) -> Scene:
    """Draw a scene; with probability `two_objects` it has two objects, never of the same colour and shape."""
    background = pick(rng, tuple(BACKGROUNDS))
    if rng.random() < two_objects:
        return _random_pair(rng, background)
    place = pick(rng, PLACES)
    centre = _jittered(rng, PLACE_CENTRES[place], (PLACE_JITTER, PLACE_JITTER))
    return Scene((_random_object(rng, centre),), background, place=place)


def _random_pair(rng: np.random.Generator, background: str) -> Scene:
    relation = pick(rng, RELATIONS)
    jitter = (RELATION_JITTER_ALONG, RELATION_JITTER_ACROSS)
    if relation == "above":
        jitter = jitter[::-1]
    centres = [_jittered(rng, centre, jitter) for centre in RELATION_CENTRES[relation]]
    first = _random_object(rng, centres[0])
    second = _random_object(rng, centres[1])
    while (second.colour, second.shape) == (first.colour, first.shape):
        second = _random_object(rng, centres[1])
    return Scene((first, second), background, relation=relation)


def _random_object(rng: np.random.Generator, centre: tuple[float, float]) -> SceneObject:
    shape, colour, size = pick(rng, SHAPES), pick(rng, tuple(COLOURS)), pick(rng, tuple(SIZES))
    angle = round(float(rng.uniform(-ANGLE_JITTER, ANGLE_JITTER)), 2)
    return SceneObject(shape, colour, size, *centre, angle)


def _jittered(
    rng: np.random.Generator, centre: tuple[float, float], jitter: tuple[float, float]
) -> tuple[float, float]:
    dx, dy = (float(rng.uniform(-j, j)) for j in jitter)
    return round(centre[0] + dx, 4), round(centre[1] + dy, 4)
