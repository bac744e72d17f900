"""What is seen in the place of what was asked for: on the diagonal for drawn scenes, beside it for a lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.metrics.scenes.confusion import NAMES, NOTHING, SceneConfusion, confusions
from ldmlab.worlds.shapes.captions import caption
from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import BACKGROUNDS, random_scene


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, list[dict]]:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(12)]
    images = np.stack([render(scene, 64) for scene in scenes])
    return torch.from_numpy(images).permute(0, 3, 1, 2), [caption(scene, rng)[1] for scene in scenes]


def test_drawn_scenes_are_on_the_diagonal(drawn: tuple[Tensor, list[dict]]) -> None:
    confusion = SceneConfusion()
    confusion.update(*drawn)
    found = confusions({**confusion.compute(), "FID": 3.0})
    assert found.keys() == NAMES.keys()
    for names, columns, counts in found.values():
        assert columns == (*names, NOTHING)
        matrix = torch.tensor(counts)
        assert matrix[:, :-1].diag().sum() == matrix.sum() > 0
    asked = sum(len(wish["objects"]) for wish in drawn[1])
    assert torch.tensor(found["shape"].counts).sum() == asked


def test_a_lie_and_an_empty_picture_are_seen(drawn: tuple[Tensor, list[dict]]) -> None:
    images, asked = drawn
    number = next(i for i, wish in enumerate(asked) if len(wish["objects"]) == 1)
    shape, colour = (asked[number]["objects"][0][kind] for kind in ("shape", "colour"))
    other = "star" if shape != "star" else "circle"
    lie = {**asked[number], "objects": [{"shape": other, "colour": colour, "size": None}], "background": None}
    confusion = SceneConfusion()
    confusion.update(images[[number]], [lie])
    assert confusion.compute()[f"confusion/shape/{other}/{shape}"] == 1
    confusion.reset()
    blank = torch.full((1, 3, 64, 64), BACKGROUNDS["white"][0], dtype=torch.uint8)
    confusion.update(blank, [{**lie, "background": "black"}])
    figures = confusion.compute()
    assert figures[f"confusion/shape/{other}/{NOTHING}"] == figures["confusion/background/black/white"] == 1


def test_nothing_is_told_where_no_scene_was_drawn(drawn: tuple[Tensor, list[dict]]) -> None:
    confusion = SceneConfusion()
    confusion.update(drawn[0])
    assert confusion.compute() == confusions({}) == {}


def test_one_entry_an_image(drawn: tuple[Tensor, list[dict]]) -> None:
    with pytest.raises(ValueError, match="asked has 1 entries for 2 images"):
        SceneConfusion().update(drawn[0][:2], drawn[1][:1])
