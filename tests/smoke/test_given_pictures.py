"""`ldmlab evaluate` of anybody's pictures: from a model to a file, and from there to the same figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ldmlab as front

Command = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of pictures that differ in size."""
    (tmp_path / "photos").mkdir()
    for number, side in enumerate((40, 64, 50)):
        pixels = np.random.default_rng(number).integers(0, 256, (side, 48, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")
    return tmp_path / "photos"


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def test_pictures_go_out_and_come_in_again(
    dit: Path, shards: Path, photos: Path, ldmlab: Command, tmp_path: Path
) -> None:
    own, again = tmp_path / "own", tmp_path / "again"
    beside = (f"reference={photos}", "image_size=32", "metric=kernel_distance")
    words = (f"ckpt={dit / 'model.safetensors'}", f"data.path={shards}", "n=4", "sampler.steps=2", "save_pictures=npz")
    done = ldmlab("evaluate", *words, *beside, f"output_dir={own}")
    assert done.code == 0, done.err
    assert f"pictures: {own / 'pictures.npz'}" in done.out
    done = ldmlab("evaluate", f"pictures={own / 'pictures.npz'}", *beside, f"output_dir={again}")
    assert done.code == 0, done.err
    assert "reading" not in done.err  # of the reference, which is known
    figures = record(again)["metrics"]
    assert figures == record(own)["metrics"]
    assert (figures["n_fake"], figures["n_real"]) == (4, 3)
    told = record(own)["manifest"]
    assert (told["reference_kind"], told["n_reference"], told["reference_size"]) == ("folder", 3, [32, 32])
    assert record(again)["manifest"]["pictures"] == str(own / "pictures.npz")
    overrides = {"image_size": 32}
    python = front.evaluate(
        pictures=own / "pictures.npz", reference=photos, metric="kernel_distance", overrides=overrides
    )
    assert dict(python) == figures


def test_one_line_says_what_is_wrong(photos: Path, ldmlab: Command, autoencoder: Path, tmp_path: Path) -> None:
    def refusal(*words: str) -> str:
        said: str = ldmlab("evaluate", *words, f"output_dir={tmp_path / 'out'}").refusal()
        return said.removeprefix("ldmlab: ")

    pictures = f"pictures={photos}"
    assert refusal(f"pictures={tmp_path / 'none'}").endswith(
        "nothing is there; give a folder of pictures, or an .npz file"
    )
    assert refusal(f"{pictures}x.npz", "reference=nowhere").startswith(f"{pictures}x.npz: nothing is there")
    assert "0.png is 48 x 40 and 1.png is 48 x 64 pixels; give image_size=40" in refusal(pictures)
    assert refusal(pictures, "ckpt=shapes/dit").startswith(
        "ckpt: nothing would read it: pictures= are measured without"
    )
    assert refusal(pictures, "sampler.steps=3").startswith("sampler.steps: nothing would read it: pictures= are")
    assert refusal(pictures, f"reference={photos}", "data.path=x").startswith("data.path: nothing would read it")
    assert refusal("image_size=32").startswith("image_size: nothing would read it: no pictures are given")
    assert refusal(pictures, "image_size=32").startswith("reference: metric=frechet_distance compares with other")
    assert refusal(pictures, "save_pictures=jpg").startswith("save_pictures=jpg: input should be 'npz' or 'png'")
    assert refusal(pictures, "image_size=32", "n=9").endswith("holds 3 pictures, and 9 are asked for; n=null takes all")
    ckpt = f"ckpt={autoencoder / 'model.safetensors'}"
    assert refusal(ckpt, f"reference={photos}").startswith("reference: nothing would read it: what is measured is")
    with pytest.raises(ValueError, match=r"^ckpt: nothing would read it: pictures= are measured without a model"):
        front.evaluate(pictures=photos, ckpt="shapes/dit")
