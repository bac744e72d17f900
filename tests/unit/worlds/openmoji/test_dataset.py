"""OpenMoji: every named picture once, natural captions, attribution, and a split that separates no twins."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from ldmlab.data.sample_source import SPLITS
from ldmlab.data.writing.dataset_writer import write_shards
from ldmlab.worlds.openmoji.dataset import OpenMojiSource, named_emojis, render_emoji
from ldmlab.worlds.openmoji.names import EmojiName, emoji_name

FEW = 400


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> dict[str, EmojiName]:
    """Only some of the pictures, among them flags that look the same and skin tones."""
    some = dict(list(named_emojis().items())[:FEW])
    monkeypatch.setattr("ldmlab.worlds.openmoji.dataset.named_emojis", lambda: some)
    return some


def codes(source: OpenMojiSource) -> dict[str, list[str]]:
    return {s: [source.sample(s, i).meta["hexcode"] for i in range(source.count(s))] for s in SPLITS}


@pytest.mark.parametrize(
    ("characters", "phrase"),
    [
        ("\U0001f600", "a grinning face"),
        ("\U0001f433", "a spouting whale"),
        ("\U0001f347", "grapes"),
        ("\U0001f40c", "a snail"),
        ("\U0001f418", "an elephant"),
        ("\U0001f984", "a unicorn"),
        ("\u2602", "an umbrella"),
        ("\U0001f1f9\U0001f1ec", "the flag of Togo"),
        ("\U0001f468\u200d\U0001f9b2", "a bald man"),
        ("\U0001f9d4\U0001f3fb\u200d\u2642\ufe0f", "a man with a beard and light skin"),
        ("\U0001f44b\U0001f3fd", "a waving hand with medium skin"),
        ("\U0001f46d\U0001f3fb", "women holding hands with light skin"),
        ("\U0001f48f", "a kiss"),
        ("\U0001f468\u200d\u2764\ufe0f\u200d\U0001f468", "a couple of a man and a man with a heart"),
        ("\U0001f51a", "an END arrow"),
    ],
)
def test_captions_read_naturally(characters: str, phrase: str) -> None:
    name = emoji_name(characters)
    assert name is not None
    assert name.phrase() == phrase


def test_no_caption_shows_its_making() -> None:
    phrases = [name.phrase() for name in named_emojis().values()]
    assert len(phrases) > 3900
    assert len(set(phrases)) == len(phrases)
    assert not [phrase for phrase in phrases if set(phrase) & set(":_&") or "  " in phrase]


def test_unknown_characters_have_no_name() -> None:
    assert emoji_name("\ue000") is None


@pytest.mark.slow
def test_every_picture_appears_once_and_twins_and_skin_tones_stay_on_one_side() -> None:
    source = OpenMojiSource(image_size=24, heldout=0.1)
    pixels, bases, found = defaultdict(set), defaultdict(set), []
    for split in SPLITS:
        for index in range(source.count(split)):
            sample = source.sample(split, index)
            found.append(sample.meta["hexcode"])
            pixels[hashlib.sha256(sample.image.tobytes()).hexdigest()].add(split)
            bases[named_emojis()[found[-1]].base].add(split)
    assert sorted(found) == sorted(named_emojis())
    assert source.count("heldout") / len(found) == pytest.approx(0.1, abs=0.04)
    assert len(pixels) < len(found)
    assert all(len(splits) == 1 for splits in [*pixels.values(), *bases.values()])


def test_the_seed_decides_order_and_words_but_not_the_split(few: dict[str, EmojiName]) -> None:
    source, other = OpenMojiSource(image_size=24), OpenMojiSource(image_size=40, seed=1)
    mine, theirs = codes(source), codes(other)
    assert mine["train"] != theirs["train"]
    assert set(mine["heldout"]) == set(theirs["heldout"])
    assert len(mine["train"] + mine["heldout"]) == FEW
    assert codes(pickle.loads(pickle.dumps(source))) == mine


def test_pictures_have_the_size_and_background_asked_for() -> None:
    image = np.asarray(render_emoji("1F600", 48, "#102030"))
    assert image.shape == (48, 48, 3)
    assert tuple(image[0, 0]) == (0x10, 0x20, 0x30)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10


def test_shards_carry_licence_and_attribution(tmp_path: Path, few: dict[str, EmojiName]) -> None:
    write_shards(OpenMojiSource(image_size=16, heldout=0.3), tmp_path)
    facts = json.loads((tmp_path / "dataset.json").read_text())
    assert facts["licence"] == "CC-BY-SA-4.0"
    assert "OpenMoji" in facts["attribution"]
    assert sum(facts["counts"].values()) == FEW
    meta = OpenMojiSource(image_size=16, heldout=0).sample("train", 0).meta
    assert meta["licence"] == "CC-BY-SA-4.0"
    assert "OpenMoji" in meta["attribution"]
    assert meta["hexcode"] in few


@pytest.mark.parametrize(
    ("key", "value"), [("background", "no colour"), ("heldout", 1.0), ("image_size", 4), ("seed", -1)]
)
def test_arguments_out_of_range_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{key}={value!r}.*give"):
        OpenMojiSource(**{key: value})
