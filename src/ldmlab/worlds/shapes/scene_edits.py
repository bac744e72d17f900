"""Edits of captions that a verifier can judge: what is said before and after, and of which object."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ldmlab.worlds.shapes.captions import caption
from ldmlab.worlds.shapes.scene import COLOURS, SHAPES, pick, random_scene

OPPOSITE = {"small": "big", "big": "small"}
SIZE_WORDS = {"small": ("small", "little"), "big": ("big", "large")}
ANY_SIZE = "|".join(word for words in SIZE_WORDS.values() for word in words)


@dataclass(frozen=True)
class SceneEdit:
    """One edit of one object.

    Attributes:
        source: the caption before.
        target: the caption after; the same where words are weighed anew.
        asked: what the source says, as `caption` returns it.
        item: number of the edited object among the asked ones.
        attribute: what changes: "shape", "colour", "size", or "count" for an object that goes.
        wanted: its new value; None for an object that goes.
        unweighted_target: a caption that asks for the same without weights.
        weighed: words of the target that are weighed anew.
    """

    source: str
    target: str
    asked: dict[str, Any]
    item: int
    attribute: str
    wanted: str | None
    unweighted_target: str
    weighed: tuple[str, ...] = ()


def scene_edits(kind: str, seed: int) -> Iterator[SceneEdit]:
    """Edits of one kind, without end, the same under the same seed.

    Args:
        kind: "swap" changes a colour, a shape or a size; "insert" says a size that was left open; "delete" takes one
            of two objects away; "reweight" weakens a size.
        seed: of scenes, wording and choices.

    Raises:
        ValueError: a kind that is not known.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind}: choose one of {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    while True:
        text, asked = caption(random_scene(rng), rng)
        edit = KINDS[kind](text, asked, rng)
        if edit is not None:
            yield edit


def _swap(text: str, asked: dict[str, Any], rng: np.random.Generator) -> SceneEdit | None:
    item = int(rng.integers(len(asked["objects"])))
    thing = asked["objects"][item]
    attribute = pick(rng, [name for name in ATTRIBUTES["swap"] if thing[name] is not None])
    values = {"shape": SHAPES, "colour": tuple(COLOURS), "size": tuple(SIZE_WORDS)}[attribute]
    wanted = pick(rng, [value for value in values if value != thing[attribute]])
    changed = {**thing, attribute: wanted}
    looks = [(other["colour"], other["shape"]) for other in asked["objects"] if other is not thing]
    if (changed["colour"], changed["shape"]) in looks:
        return None
    target = _rephrased(text, thing, changed)
    return SceneEdit(text, target, asked, item, attribute, wanted, target)


def _insert(text: str, asked: dict[str, Any], rng: np.random.Generator) -> SceneEdit | None:
    item = int(rng.integers(len(asked["objects"])))
    thing = asked["objects"][item]
    if thing["size"] is not None:
        return None
    wanted = pick(rng, tuple(SIZE_WORDS))
    target = _rephrased(text, thing, {**thing, "size": wanted})
    return SceneEdit(text, target, asked, item, "size", wanted, target)


def _delete(text: str, asked: dict[str, Any], rng: np.random.Generator) -> SceneEdit | None:
    if len(asked["objects"]) < 2:
        return None
    item = int(rng.integers(2))
    gone, stays = (_span(text, asked["objects"][n]) for n in (item, 1 - item))
    start, end = (gone[0], stays[0]) if gone < stays else (stays[1], gone[1])
    target = text[:start] + text[end:]
    return SceneEdit(text, target, asked, item, "count", None, target)


def _reweight(text: str, asked: dict[str, Any], rng: np.random.Generator) -> SceneEdit | None:
    item = int(rng.integers(len(asked["objects"])))
    thing = asked["objects"][item]
    if thing["size"] is None:
        return None
    word = text[slice(*_span(text, thing))].split()[1]
    if text.split().count(word) > 1:
        return None
    wanted = OPPOSITE[thing["size"]]
    unweighted = _rephrased(text, thing, {**thing, "size": wanted})
    return SceneEdit(text, text, asked, item, "size", wanted, unweighted, (word,))


KINDS: dict[str, Callable[[str, dict[str, Any], np.random.Generator], SceneEdit | None]] = {
    "swap": _swap,
    "insert": _insert,
    "delete": _delete,
    "reweight": _reweight,
}
ATTRIBUTES = {"swap": ("shape", "colour", "size"), "insert": ("size",), "delete": ("count",), "reweight": ("size",)}
"""What the edits of a kind may change."""


def _span(text: str, thing: dict[str, Any]) -> tuple[int, int]:
    """Where a caption speaks of an object."""
    found = re.search(rf"\ban? ((?:{ANY_SIZE}) )?{thing['colour']} {thing['shape']}\b", text)
    if found is None:
        raise ValueError(f"'{text}' speaks of no {thing['colour']} {thing['shape']}")
    return found.span()


def _rephrased(text: str, thing: dict[str, Any], changed: dict[str, Any]) -> str:
    start, end = _span(text, thing)
    said = text[start:end].split()[1:-2]
    if changed["size"] != thing["size"]:
        said = [changed["size"]]
    words = [*said, changed["colour"], changed["shape"]]
    return f"{text[:start]}{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}{text[end:]}"
