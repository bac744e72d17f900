"""The verifier's accuracy over captions: full for what was asked, less for anything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.metrics.scenes.accuracy import SceneAccuracy
from ldmlab.metrics.standard_errors import share_error
from ldmlab.worlds.shapes.captions import caption
from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import COLOURS, random_scene


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, list[dict]]:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(24)]
    images = np.stack([render(scene, 64) for scene in scenes])
    return torch.from_numpy(images).permute(0, 3, 1, 2), [caption(scene, rng)[1] for scene in scenes]


def test_drawn_scenes_show_what_was_asked(drawn: tuple[Tensor, list[dict]]) -> None:
    images, asked = drawn
    accuracy = SceneAccuracy()
    accuracy.update(images[:10], asked[:10])
    accuracy.update(images[10:], asked[10:])
    figures = accuracy.compute()
    assert figures["asked/caption"] == figures["asked/count"] == 24
    assert 0 < figures["asked/background"] < 24
    assert figures["asked/relation"] == sum(wish["relation"] is not None for wish in asked)
    assert {value for name, value in figures.items() if name.startswith("accuracy/")} == {1.0}
    errors = accuracy.errors()
    assert errors.keys() == {name for name in figures if name.startswith("accuracy/")}
    assert errors["accuracy/count"] == share_error(24, 24) > 0
    assert errors["accuracy/background"] == share_error(figures["asked/background"], figures["asked/background"])


def test_nothing_is_told_where_no_scene_was_drawn(drawn: tuple[Tensor, list[dict]]) -> None:
    accuracy = SceneAccuracy()
    accuracy.update(drawn[0][:2])
    assert accuracy.compute() == {}


def test_only_the_wrong_attribute_loses(drawn: tuple[Tensor, list[dict]]) -> None:
    images, asked = drawn
    other = dict(zip(COLOURS, [*list(COLOURS)[1:], next(iter(COLOURS))], strict=True))
    lied = [
        {**wish, "objects": [{**item, "colour": other[item["colour"]]} for item in wish["objects"]]} for wish in asked
    ]
    single = [i for i, wish in enumerate(asked) if len(wish["objects"]) == 1]
    accuracy = SceneAccuracy(counts=False)
    accuracy.update(images[single], [lied[i] for i in single])
    figures = accuracy.compute()
    assert figures.pop("accuracy/colour") == 0
    assert figures.pop("accuracy/caption") == 0
    assert set(figures.values()) == {1.0}


def test_one_entry_an_image(drawn: tuple[Tensor, list[dict]]) -> None:
    with pytest.raises(ValueError, match="asked has 1 entries for 2 images"):
        SceneAccuracy().update(drawn[0][:2], drawn[1][:1])
