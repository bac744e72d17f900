"""The judge of edits, on scenes whose pictures are drawn and not sampled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ldmlab.metrics.scenes.edit_verdict import judge, judgeable, place_of
from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import Scene, SceneObject
from ldmlab.worlds.shapes.scene_edits import SceneEdit

RED = SceneObject("circle", "red", "small", 0.24, 0.5, 0.0)
BLUE = SceneObject("square", "blue", "big", 0.76, 0.5, 0.0)
PAIR = Scene((RED, BLUE), "white", relation="left of")
ASKED: dict[str, Any] = {
    "objects": [
        {"shape": "circle", "colour": "red", "size": None},
        {"shape": "square", "colour": "blue", "size": "big"},
    ],
    "place": None,
    "relation": "left of",
    "background": None,
}
SOURCE = "a red circle left of a big blue square"
SWAPPED = "a green circle left of a big blue square"
SWAP = SceneEdit(SOURCE, SWAPPED, ASKED, 0, "colour", "green", SWAPPED)
DELETE = SceneEdit(SOURCE, "a big blue square", ASKED, 0, "count", None, "a big blue square")


def drawn(*objects: SceneObject, background: str = "white") -> np.ndarray:
    return render(replace(PAIR, objects=objects, background=background), 64)


BEFORE = drawn(RED, BLUE)
GREEN = replace(RED, colour="green")


def test_a_right_edit() -> None:
    verdict = judge(SWAP, BEFORE, drawn(GREEN, BLUE))
    assert (verdict.reached, verdict.unchanged, verdict.outside) == (True, True, 0.0)


@pytest.mark.parametrize(
    ("after", "reached", "unchanged"),
    [
        (BEFORE, False, True),
        (drawn(replace(GREEN, shape="star"), BLUE), True, False),
        (drawn(replace(GREEN, size="big"), BLUE), True, False),
        (drawn(GREEN, replace(BLUE, colour="pink")), True, False),
        (drawn(GREEN, replace(BLUE, y=0.3)), True, False),
        (drawn(replace(GREEN, y=0.75), BLUE), False, False),
        (drawn(GREEN), True, False),
        (drawn(BLUE), False, False),
        (drawn(GREEN, BLUE, replace(BLUE, shape="star", x=0.5, y=0.15, size="small")), True, False),
        (drawn(GREEN, BLUE, background="gray"), True, False),
    ],
    ids=["nothing", "shape", "size", "other", "other moved", "moved", "other gone", "gone", "third", "background"],
)
def test_what_is_wrong_is_seen(after: np.ndarray, reached: bool, unchanged: bool) -> None:
    verdict = judge(SWAP, BEFORE, after)
    assert (verdict.reached, verdict.unchanged) == (reached, unchanged)


@pytest.mark.parametrize(
    ("after", "reached", "unchanged"),
    [
        (drawn(BLUE), True, True),
        (BEFORE, False, True),
        (drawn(replace(BLUE, x=0.5)), True, False),
        (drawn(replace(BLUE, size="small")), True, False),
        (drawn(), False, False),
    ],
    ids=["right", "nothing", "moved", "size", "both gone"],
)
def test_a_deletion(after: np.ndarray, reached: bool, unchanged: bool) -> None:
    verdict = judge(DELETE, BEFORE, after)
    assert (verdict.reached, verdict.unchanged) == (reached, unchanged)


def test_pixels_outside_are_compared_and_those_inside_are_not() -> None:
    after = drawn(GREEN, BLUE).astype(np.int64)
    after[:8] -= 30
    verdict = judge(SWAP, BEFORE, after.astype(np.uint8))
    outside = ~place_of(SWAP, BEFORE)
    assert verdict.outside == pytest.approx(30 * outside[:8].sum() / outside.sum())


def test_the_mask_holds_the_edited_object_and_not_the_other() -> None:
    mask = place_of(SWAP, BEFORE)
    assert mask[32, 15]
    assert not mask[32, 48]
    assert 0.03 < mask.mean() < 0.2


def test_what_can_be_judged() -> None:
    assert judgeable(SWAP, BEFORE)
    assert not judgeable(SWAP, drawn(GREEN, BLUE))
    size = replace(SWAP, attribute="size", wanted="small")
    assert not judgeable(size, BEFORE)
    assert judgeable(replace(size, wanted="big"), BEFORE)


def test_pictures_of_another_size_are_refused() -> None:
    big = render(PAIR, 128)
    with pytest.raises(ValueError, match="64 x 64"):
        judge(SWAP, big, big)
