"""Pictures of scenes: exact colours, anti-aliased edges, comparable areas, the same bytes every time."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import BACKGROUNDS, COLOURS, SHAPES, SIZES, Scene, SceneObject, random_scene


def one(shape: str, size: str = "big", colour: str = "blue", background: str = "black", angle: float = 0.0) -> Scene:
    return Scene((SceneObject(shape, colour, size, 0.5, 0.5, angle),), background, place="middle")


def covered(scene: Scene) -> float:
    background = np.array(BACKGROUNDS[scene.background])
    colour = np.array(COLOURS[scene.objects[0].colour])
    return float(((render(scene, 128) - background).sum(-1) / (colour - background).sum()).mean())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_colours_are_exact_inside_and_outside(shape: str, background: str) -> None:
    image = render(one(shape, background=background), 64)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert tuple(image[32, 32]) == COLOURS["blue"]
    assert tuple(image[0, 0]) == BACKGROUNDS[background]


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_antialiased(shape: str) -> None:
    values = np.unique(render(one(shape, angle=5.0), 64)[..., 2])
    assert len(values) > 8


def test_shapes_of_one_size_cover_comparable_areas() -> None:
    big = {shape: covered(one(shape, "big")) for shape in SHAPES}
    small = {shape: covered(one(shape, "small")) for shape in SHAPES}
    assert max(big.values()) / min(big.values()) < 1.8
    assert min(big.values()) / max(small.values()) > 1.15
    for shape in SHAPES:
        assert big[shape] / small[shape] == pytest.approx((SIZES["big"] / SIZES["small"]) ** 2, rel=0.05)


def test_an_angle_turns_counter_clockwise() -> None:
    """The right corner of a square moves up."""
    mask = render(one("square", angle=8.0), 128)[..., 2] > 110
    rows, columns = np.nonzero(mask)
    rightmost = rows[columns == columns.max()].mean()
    lowest = columns[rows == rows.max()].mean()
    assert rightmost > 64
    assert lowest < 64


def test_sizes_show_the_same_scene() -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        scene = random_scene(rng)
        large = Image.fromarray(render(scene, 128)).reduce(2)
        difference = np.abs(np.asarray(large, dtype=float) - render(scene, 64))
        assert difference.mean() < 1.0
        assert np.array_equal(render(scene, 64), render(Scene.from_json(scene.to_json()), 64))


def test_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="size=0"):
        render(one("circle"), 0)
