"""Scenes: the discrete part, the jitter, and what every scene must hold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ldmlab.worlds.shapes.render import outline, render
from ldmlab.worlds.shapes.scene import BACKGROUNDS, COLOURS, PLACES, RELATIONS, SHAPES, SIZES, Scene, random_scene

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import example, given
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_a_scene_survives_json(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene


@given(seeds)
def test_identity_ignores_jitter_and_nothing_else(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    first = scene.objects[0]
    moved = replace(scene, objects=(replace(first, x=first.x + 0.01, angle=0.0), *scene.objects[1:]))
    recoloured = replace(first, colour="red" if first.colour != "red" else "blue")
    resized = replace(first, size="small" if first.size != "small" else "big")
    assert moved.identity() == scene.identity()
    others = [replace(scene, objects=(each, *scene.objects[1:])) for each in (recoloured, resized)]
    others.append(replace(scene, background="white" if scene.background != "white" else "black"))
    others.append(replace(scene, relation="next to") if scene.relation else replace(scene, place="nowhere"))
    assert len({scene.identity(), *(each.identity() for each in others)}) == 5


@given(seeds)
def test_pairs_differ_in_colour_or_shape(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed), two_objects=1.0)
    assert len({(each.colour, each.shape) for each in scene.objects}) == 2
    assert scene.place is None
    assert scene.relation in RELATIONS


@example(6598)
@given(seeds)
def test_objects_stay_inside_and_apart(seed: int) -> None:
    """No corner leaves the picture, and drawn alone the two objects share neither a pixel nor a neighbour."""
    scene = replace(random_scene(np.random.default_rng(seed), two_objects=0.9), background="black")
    corners = [corner for each in scene.objects if each.shape != "circle" for corner in outline(each)]
    assert all(0 <= value <= 1 for corner in corners for value in corner)
    masks = [render(replace(scene, objects=(each,)), 128).any(axis=-1) for each in scene.objects]
    grown = masks[0] | np.roll(masks[0], 1, 0) | np.roll(masks[0], 1, 1)
    assert not any((grown & mask).any() for mask in masks[1:])


def test_everything_is_drawn_about_equally_often() -> None:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng, two_objects=0.25) for _ in range(2000)]
    assert np.mean([len(scene.objects) == 2 for scene in scenes]) == pytest.approx(0.25, abs=0.03)
    singles = [scene for scene in scenes if len(scene.objects) == 1]
    for names, values in [
        (SHAPES, [scene.objects[0].shape for scene in singles]),
        (COLOURS, [scene.objects[0].colour for scene in singles]),
        (SIZES, [scene.objects[0].size for scene in singles]),
        (PLACES, [scene.place for scene in singles]),
        (BACKGROUNDS, [scene.background for scene in singles]),
    ]:
        for name in names:
            assert values.count(name) / len(values) == pytest.approx(1 / len(names), rel=0.3)
