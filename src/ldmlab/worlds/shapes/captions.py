"""Captions: natural sentences of at most 16 words, and beside each what it asks for.

About two in three captions say everything but the background; the others leave out sizes, the place or the relation.
A third also names the background.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ldmlab.worlds.shapes.scene import Scene, SceneObject, pick

SAY_ALL = 2 / 3
SAY_BACKGROUND = 1 / 3

_SIZE_WORDS = {"small": ("small", "small", "little"), "big": ("big", "big", "large")}
_PLACE_WORDS = {
    "left": ("on the left", "at the left", "on the left side"),
    "right": ("on the right", "at the right", "on the right side"),
    "top": ("at the top", "at the top", "near the top"),
    "bottom": ("at the bottom", "at the bottom", "near the bottom"),
    "middle": ("in the middle", "in the middle", "in the center"),
}
_RELATION_WORDS = {"left of": ("left of", "to the left of"), "above": ("above", "over")}
_INVERSE_WORDS = {"left of": ("right of", "to the right of"), "above": ("below", "under")}
_OPENINGS = ("", "", "", "there is ", "a picture of ")


def caption(scene: Scene, rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """Describe a scene in words.

    Returns:
        The caption, and `asked`, plain JSON of what it says: `{"objects": [{"shape", "colour", "size"}], "place",
        "relation", "background"}` with None for what it leaves out. Objects keep the scene's order whatever the
        wording, so `objects[0] <relation> objects[1]` holds also for "right of" and "below".
    """
    sizes, position = _what_to_say(rng, len(scene.objects))
    background = scene.background if rng.random() < SAY_BACKGROUND else None
    asked: dict[str, Any] = {
        "objects": [
            {"shape": o.shape, "colour": o.colour, "size": o.size if said else None}
            for o, said in zip(scene.objects, sizes, strict=True)
        ],
        "place": scene.place if position else None,
        "relation": scene.relation if position else None,
        "background": background,
    }
    phrases = [_phrase(rng, o, said) for o, said in zip(scene.objects, sizes, strict=True)]
    sentence = _pair(rng, phrases, asked["relation"]) if len(phrases) == 2 else _one(rng, phrases[0], asked["place"])
    return _with_background(rng, sentence, background), asked


def _what_to_say(rng: np.random.Generator, count: int) -> tuple[list[bool], bool]:
    """Which objects' sizes, and whether the place or relation, are said."""
    if rng.random() < SAY_ALL:
        return [True] * count, True
    sizes = [bool(rng.random() < 0.5) for _ in range(count)]
    return sizes, bool(rng.random() < 0.5)


def _phrase(rng: np.random.Generator, item: SceneObject, say_size: bool) -> str:
    words = [pick(rng, _SIZE_WORDS[item.size])] if say_size else []
    words += [item.colour, item.shape]
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words])


def _one(rng: np.random.Generator, phrase: str, place: str | None) -> str:
    if place is None:
        return pick(rng, _OPENINGS) + phrase
    where = pick(rng, _PLACE_WORDS[place])
    if rng.random() < 0.15:
        return f"{where}, {phrase}"
    return f"{pick(rng, _OPENINGS)}{phrase} {where}"


def _pair(rng: np.random.Generator, phrases: list[str], relation: str | None) -> str:
    first, second = phrases
    if relation is None:
        one, other = (first, second) if rng.random() < 0.5 else (second, first)
        return f"{one} and {other}"
    if rng.random() < 0.6:
        return f"{first} {pick(rng, _RELATION_WORDS[relation])} {second}"
    return f"{second} {pick(rng, _INVERSE_WORDS[relation])} {first}"


def _with_background(rng: np.random.Generator, sentence: str, background: str | None) -> str:
    if background is None:
        return sentence
    if rng.random() < 0.2 and "," not in sentence:
        return f"on a {background} background, {sentence}"
    return f"{sentence} on a {background} background"
