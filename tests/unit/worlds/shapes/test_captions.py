"""Captions: what they say is what `asked` records, and they say it in several natural ways."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ldmlab.worlds.shapes.captions import caption
from ldmlab.worlds.shapes.scene import BACKGROUNDS, COLOURS, SHAPES, Scene, SceneObject, random_scene

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import given
from hypothesis import strategies as st

SIZE_WORDS = {"small": {"small", "little"}, "big": {"big", "large"}}
PLACE_WORDS = {
    "left": "left",
    "right": "right",
    "top": "top",
    "bottom": "bottom",
    "middle": ("middle", "center"),
}
SAYS = {"left of": ("left of", "right of"), "above": ("above", "over", "below", "under")}
RED_CIRCLE = SceneObject("circle", "red", "small", 0.25, 0.5, 0.0)
BLUE_SQUARE = SceneObject("square", "blue", "big", 0.75, 0.5, 0.0)
PAIR = Scene((RED_CIRCLE, BLUE_SQUARE), "white", relation="left of")


def said(seed: int) -> tuple[Scene, str, dict]:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng)
    return scene, *caption(scene, rng)


@given(st.integers(0, 2**32 - 1))
def test_a_caption_says_what_is_asked_and_nothing_else(seed: int) -> None:
    scene, text, asked = said(seed)
    words = text.replace(",", "").split()
    assert len(words) <= 16
    assert json.loads(json.dumps(asked)) == asked
    assert [(o["shape"], o["colour"]) for o in asked["objects"]] == [(o.shape, o.colour) for o in scene.objects]
    named = [*SHAPES, *COLOURS]
    expected = sorted(name for o in scene.objects for name in (o.shape, o.colour))
    assert sorted(word for word in words if word in named) == expected
    sizes = sum(word in SIZE_WORDS["small"] | SIZE_WORDS["big"] for word in words)
    assert sizes == sum(o["size"] is not None for o in asked["objects"])
    assert ("background" in words) == (asked["background"] is not None)
    assert asked["background"] in (None, scene.background)
    assert any(name in words for name in BACKGROUNDS) == (asked["background"] is not None)


@given(st.integers(0, 2**32 - 1))
def test_places_and_relations_are_said_when_asked(seed: int) -> None:
    scene, text, asked = said(seed)
    if asked["place"]:
        assert any(word in text for word in np.atleast_1d(PLACE_WORDS[scene.place]))
    elif scene.place:
        assert not any(word in text for places in PLACE_WORDS.values() for word in np.atleast_1d(places))
    if asked["relation"]:
        assert any(words in text for words in SAYS[scene.relation])
    elif scene.relation:
        assert " and " in text


def test_inverse_wordings_name_the_second_object_first() -> None:
    rng = np.random.default_rng(0)
    texts = [(text, asked) for text, asked in (caption(PAIR, rng) for _ in range(300)) if asked["relation"]]
    inverse = [text for text, _ in texts if "right of" in text]
    forward = [text for text, _ in texts if "left of" in text]
    assert min(len(inverse), len(forward)) > 60
    assert all(text.index("square") < text.index("circle") for text in inverse)
    assert all(text.index("circle") < text.index("square") for text in forward)
    assert all(asked["objects"][0]["shape"] == "circle" for _, asked in texts)


def test_the_wordings_people_type_are_among_them() -> None:
    rng = np.random.default_rng(0)
    assert "a small red circle left of a big blue square" in {caption(PAIR, rng)[0] for _ in range(300)}
    star = Scene((SceneObject("star", "green", "big", 0.5, 0.5, 0.0),), "white", place="middle")
    assert "a green star" in {caption(star, rng)[0] for _ in range(500)}


def test_most_captions_say_everything() -> None:
    asked = [said(seed)[2] for seed in range(1500)]
    full = [bool(a["place"] or a["relation"]) and all(o["size"] for o in a["objects"]) for a in asked]
    assert 0.68 < np.mean(full) < 0.78
    assert 0.28 < np.mean([a["background"] is not None for a in asked]) < 0.38


def test_orange_takes_an() -> None:
    texts = [said(seed)[1] for seed in range(500)]
    assert any("an orange" in text for text in texts)
    assert not any("a orange" in text for text in texts)
