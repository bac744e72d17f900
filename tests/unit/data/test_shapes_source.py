"""The shapes dataset: pure in (seed, split, index), and a held-out split that shares no scene with training."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from ldmlab.worlds.shapes.dataset import HELDOUT_FRACTION, ShapesSource, split_of
from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import Scene, random_scene


def test_a_sample_depends_on_seed_split_and_index_alone() -> None:
    source = ShapesSource(image_size=32, train=50, heldout=50)
    longer = ShapesSource(image_size=32, train=5000, heldout=0)
    copy = pickle.loads(pickle.dumps(source))
    for index in (49, 0, 7):
        sample = source.sample("train", index)
        for other in (copy.sample("train", index), longer.sample("train", index)):
            assert (other.caption, other.meta) == (sample.caption, sample.meta)
            assert np.array_equal(other.image, sample.image)
    others = [source.sample("train", 1), ShapesSource(seed=1).sample("train", 0), source.sample("heldout", 0)]
    assert all(other.meta["scene"] != source.sample("train", 0).meta["scene"] for other in others)


def test_the_json_holds_the_exact_scene() -> None:
    sample = ShapesSource(image_size=48).sample("train", 3)
    assert np.array_equal(render(Scene.from_json(sample.meta["scene"]), 48), sample.image)
    assert set(sample.meta["asked"]) == {"objects", "place", "relation", "background"}


def test_splits_share_no_scene_and_no_picture_whatever_the_seed() -> None:
    sources = [ShapesSource(image_size=16, train=1500, heldout=400, seed=seed) for seed in (0, 1)]
    seen: dict[str, tuple[set[str], set[bytes]]] = {"train": (set(), set()), "heldout": (set(), set())}
    for source in sources:
        for split, (scenes, pictures) in seen.items():
            for index in range(source.count(split)):
                sample = source.sample(split, index)
                scenes.add(Scene.from_json(sample.meta["scene"]).identity())
                pictures.add(np.asarray(sample.image).tobytes())
    assert all(len(scenes) > 300 for scenes, _ in seen.values())
    assert not seen["train"][0] & seen["heldout"][0]
    assert not seen["train"][1] & seen["heldout"][1]


def test_a_tenth_of_all_scenes_is_held_out() -> None:
    rng = np.random.default_rng(0)
    fraction = np.mean([split_of(random_scene(rng)) == "heldout" for _ in range(3000)])
    assert fraction == pytest.approx(HELDOUT_FRACTION, abs=0.02)


@pytest.mark.parametrize(
    ("key", "value"), [("image_size", 0), ("train", -1), ("heldout", -5), ("seed", -1), ("two_objects", 1.5)]
)
def test_arguments_out_of_range_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{key}={value}.*give"):
        ShapesSource(**{key: value})


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"split='test'.*train, heldout"):
        ShapesSource().sample("test", 0)


def test_the_label_numbers_colour_and_shape_of_the_first_object() -> None:
    source = ShapesSource(train=200, heldout=0)
    names: dict[int, tuple[str, str]] = {}
    for index in range(200):
        meta = source.sample("train", index).meta
        first = meta["scene"]["objects"][0]
        assert names.setdefault(meta["label"], (first["colour"], first["shape"])) == (first["colour"], first["shape"])
    assert set(names) == set(range(32))
