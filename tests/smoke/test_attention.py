"""`ldmlab attention`, and heat maps during training."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

Command = Callable[..., Any]
slow = partial(pytest.param, marks=pytest.mark.slow)
WORDS = ("prompt=a red star", "sampler.steps=3", "n=2", "seed=5")


@pytest.mark.parametrize("name", ["dit", slow("unet")])
def test_pictures_and_heat_maps(name: str, request: pytest.FixtureRequest, ldmlab: Command, tmp_path: Path) -> None:
    model = f"ckpt={request.getfixturevalue(name) / 'model.safetensors'}"
    out = tmp_path / "maps"
    done = ldmlab("attention", *WORDS, model, "by=step", "step_bins=2", "save_maps=true", f"output_dir={out}")
    assert done.code == 0, done.err
    assert f"maps of {1 if name == 'dit' else 7} attention sites read, " in done.out
    assert " KiB of maps kept at most" in done.out
    assert ldmlab("sample", "a red star", *WORDS[1:], model, f"output_dir={tmp_path / 'sample'}").code == 0
    for picture in ("00000.png", "00001.png"):
        assert (out / picture).read_bytes() == (tmp_path / "sample" / picture).read_bytes()
    assert Image.open(out / "heatmaps.png").width == 4 * (192 + 6) + 6  # the picture and three words
    assert Image.open(out / "00001_by_step.png").size == Image.open(out / "heatmaps.png").size  # two rows both
    with safe_open(out / "maps.safetensors", "pt") as file:
        assert json.loads(file.metadata()["words"]) == ["a", "red", "star"]
        assert file.metadata()["prompt"] == "a red star"
        assert {key.partition("/")[0] for key in file.keys()} == {"steps 1-2", "step 3"}  # noqa: SIM118 - no mapping
        for key in file.keys():  # noqa: SIM118
            rows, columns = map(int, key.partition("/")[2].split("x"))
            assert file.get_tensor(key).shape == (2, 3, rows, columns)


def test_chosen_words_and_sites_in_half_precision(unet: Path, ldmlab: Command, tmp_path: Path) -> None:
    ways = (*WORDS, f"ckpt={unet / 'model.safetensors'}", "words=[star,a red]", "by=site", "scale=common")
    chosen = ("sites=[middle.0.cross]", "half_maps=true", "save_maps=true")
    done = ldmlab("attention", *ways, *chosen, f"output_dir={tmp_path}")
    assert done.code == 0, done.err
    assert "maps of 1 attention sites read" in done.out
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "00000.png",
        "00000_by_site.png",
        "00001.png",
        "00001_by_site.png",
        "heatmaps.png",
    ]
    with safe_open(tmp_path / "maps.safetensors", "pt") as file:
        (key,) = file.keys()
        assert key.startswith("middle.0.cross/")
        assert file.get_tensor(key).dtype == torch.float16
        assert file.get_tensor(key).shape[:2] == (2, 2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("words=[moon]",), "words: the prompt has no 'moon'; its words are a, red, star"),
        slow(("words=[]",), "words=[]: list should have at least 1 item"),
        (("prompt=' '",), "holds no word"),
        slow(("by=head",), "by=head: input should be 'step' or 'site'"),
        (("by=step",), "step_bins=4: the sampler makes 3 steps"),
        slow(("step_bins=0",), "step_bins=0: input should be greater than or equal to 1"),
        (("sites=[middle]",), "sites: the model has no 'middle'; its sites that attend to words are blocks.0.cross"),
        slow(("scale=log",), "scale=log: input should be 'word' or 'common'"),
        slow(("n=0",), "n=0"),
        slow(("sampler.steps=0",), "sampler.steps=0: choose between 1 and the 1000"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bad_input(words: tuple[str, ...], told: str, dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    model = f"ckpt={dit / 'model.safetensors'}"
    assert told in ldmlab("attention", *WORDS, *words, model, f"output_dir={tmp_path / 'out'}").refusal()
    assert not (tmp_path / "out").exists()


def training(tiny: dict[str, tuple[str, ...]], shards: Path, autoencoder: Path, folder: Path) -> tuple[str, ...]:
    paths = (f"data.path={shards}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}", f"output_dir={folder}")
    return ("train", *tiny["dit"], *paths, "grid_attention=true")


def test_heat_maps_during_training(
    tiny: dict[str, tuple[str, ...]], shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    words = training(tiny, shards, autoencoder, tmp_path / "run")
    done = ldmlab(*words, "grid_prompts=[a red star,a blue circle]")
    assert done.code == 0, done.err
    names = sorted(path.name for path in (tmp_path / "run/pictures").iterdir())
    assert names == ["step-0000004-attention.png", "step-0000004.png"]
    sheet = np.asarray(Image.open(tmp_path / "run/pictures/step-0000004-attention.png"))
    assert sheet.shape[1] == 4 * (192 + 6) + 6


def test_heat_maps_of_a_model_that_attends_to_no_words(
    tiny: dict[str, tuple[str, ...]], shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    words = training(tiny, shards, autoencoder, tmp_path / "run")
    told = ldmlab(*words, "conditioner.tokens=false").refusal()
    assert "grid_attention=true: the model has no cross-attention, so there are no maps of words" in told
    assert not (tmp_path / "run/pictures").exists()
