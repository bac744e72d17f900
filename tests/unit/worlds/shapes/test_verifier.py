"""The verifier: right on fresh scenes and on pictures like a model's, and wrong answers are noticed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from ldmlab.worlds.shapes.captions import caption
from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import PLACES, SHAPES, Scene, SceneObject, random_scene
from ldmlab.worlds.shapes.verifier import Seen, SeenObject, look, verify

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def everything(scene: Scene) -> dict[str, Any]:
    objects = [{"shape": o.shape, "colour": o.colour, "size": o.size} for o in scene.objects]
    return {"objects": objects, "place": scene.place, "relation": scene.relation, "background": scene.background}


def accuracy(count: int, size: int, seed: int, corrupt: Corruption | None = None) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    right = defaultdict(list)
    for _ in range(count):
        scene = random_scene(rng)
        image = render(scene, size)
        if corrupt is not None:
            image = np.clip(np.round(corrupt(image, rng)), 0, 255).astype(np.uint8)
        for key, value in verify(look(image), everything(scene)).items():
            right[key].append(value)
    return {key: float(np.mean(values)) for key, values in right.items()}


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    radius = float(rng.uniform(0.5, 1.2))
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)), dtype=float)


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image + rng.normal(0, 8, image.shape)


def tint(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    object_pixels = (image != image[0, 0]).any(-1, keepdims=True)
    return image + np.where(object_pixels, rng.uniform(-20, 20, 3), rng.uniform(-20, 20, 3))


def ringing(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    smooth = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.5)), dtype=float)
    return image + 0.5 * (image - smooth)


def all_at_once(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    tinted = np.clip(tint(image, rng), 0, 255).astype(np.uint8)
    return noise(blur(tinted, rng), rng)


@pytest.mark.parametrize(
    ("size", "count"), [pytest.param(64, 1000, marks=pytest.mark.slow), (64, 200), (128, 200), (32, 200)]
)
def test_fresh_scenes_are_read_back(size: int, count: int) -> None:
    rates = accuracy(count, size, seed=1)
    assert set(rates) == {"count", "shape", "colour", "size", "place", "relation", "background"}
    assert min(rates.values()) >= 0.99, rates


@pytest.mark.parametrize("corrupt", [blur, noise, tint, ringing, all_at_once])
def test_pictures_like_a_models_are_read_back(corrupt: Corruption) -> None:
    rates = accuracy(200, 64, seed=2, corrupt=corrupt)
    assert min(rates.values()) >= 0.98, rates


def test_positions_are_seen_to_a_hundredth() -> None:
    rng = np.random.default_rng(5)
    for _ in range(100):
        scene = random_scene(rng, two_objects=0.0)
        (seen,) = look(render(scene, 64)).objects
        assert (seen.x, seen.y) == pytest.approx((scene.objects[0].x, scene.objects[0].y), abs=0.012)


@pytest.mark.parametrize("key", ["shape", "colour", "size", "place", "relation", "background", "count"])
def test_one_wrong_attribute_is_noticed_and_no_other(key: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        scene = random_scene(rng, two_objects=0.0 if key == "place" else 1.0)
        asked = everything(scene)
        first = asked["objects"][0]
        if key == "count":
            asked["objects"], asked["relation"] = [first], None
        elif key in first:
            first[key] = {"shape": "hexagon", "colour": "brown", "size": "huge"}[key]
        else:
            options = {"place": PLACES, "relation": ("left of", "above"), "background": ("white", "gray")}[key]
            asked[key] = next(option for option in options if option != asked[key])
        verdict = verify(look(render(scene, 64)), asked)
        assert [name for name, right in verdict.items() if not right] == [key]


def test_a_mirrored_pair_has_only_its_relation_wrong() -> None:
    rng = np.random.default_rng(8)
    for _ in range(20):
        scene = random_scene(rng, two_objects=1.0)
        mirrored = replace(scene, objects=scene.objects[::-1])
        verdict = verify(look(render(scene, 64)), everything(mirrored))
        assert [name for name, right in verdict.items() if not right] == ["relation"]


def test_only_what_the_caption_mentions_is_judged() -> None:
    asked = {
        "objects": [{"shape": "star", "colour": "green", "size": None}],
        "place": None,
        "relation": None,
        "background": None,
    }
    star = SceneObject("star", "green", "big", 0.5, 0.5, 3.0)
    verdict = verify(look(render(Scene((star,), "gray", place="middle"), 64)), asked)
    assert verdict == {"count": True, "shape": True, "colour": True}


def test_captions_of_fresh_scenes_hold() -> None:
    rng = np.random.default_rng(9)
    for _ in range(100):
        scene = random_scene(rng)
        assert all(verify(look(render(scene, 64)), caption(scene, rng)[1]).values())


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_an_empty_picture_shows_nothing(shade: int) -> None:
    seen = look(np.full((64, 64, 3), shade, np.uint8))
    assert seen == Seen((), {0: "black", 128: "gray", 255: "white"}[shade])
    verdict = verify(seen, everything(random_scene(np.random.default_rng(0), two_objects=0.0)))
    assert not any(verdict[key] for key in ("count", "shape", "colour", "size", "place"))


def test_specks_are_ignored() -> None:
    image = np.full((64, 64, 3), 255, np.uint8)
    image[10:13, 10:13] = (220, 30, 40)
    assert look(image).objects == ()


def test_noise_and_odd_backgrounds_do_not_break_it() -> None:
    rng = np.random.default_rng(0)
    look(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    look((rng.integers(0, 2, (48, 80, 3)) * 255).astype(np.uint8))
    assert look(np.full((64, 64, 3), (20, 200, 20), np.uint8)).background is None


def test_two_of_one_kind_are_matched_by_relation() -> None:
    """Equal objects: the matching that makes the relation hold is the one that counts."""
    left, right = (SeenObject(SHAPES[0], "red", "big", x, 0.5) for x in (0.25, 0.75))
    asked = everything(Scene((), "white", relation="left of"))
    asked["objects"] = [{"shape": SHAPES[0], "colour": "red", "size": "big"}] * 2
    assert all(verify(Seen((right, left), "white"), asked).values())


@pytest.mark.parametrize("image", [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32)])
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="give uint8 pixels"):
        look(image)
