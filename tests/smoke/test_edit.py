"""`ldmlab edit`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ldmlab.pictures.png import read_settings

Command = Callable[..., Any]
slow = partial(pytest.param, marks=pytest.mark.slow)
SIDE = 32
"""Pixels of the pictures of the models in these tests."""
WORDS = ("source=a red star", "target=a blue star", "sampler.steps=3", "n=2", "seed=5")


def drawn(folder: Path, kind: str) -> list[bytes]:
    """The pixels of the pictures of a kind."""
    return [np.asarray(Image.open(path)).tobytes() for path in sorted(folder.glob(f"0*_{kind}.png"))]


@pytest.mark.parametrize("name", ["dit", slow("unet")])
def test_source_and_edit(name: str, request: pytest.FixtureRequest, ldmlab: Command, tmp_path: Path) -> None:
    model = f"ckpt={request.getfixturevalue(name) / 'model.safetensors'}"
    done = ldmlab("edit", *WORDS, model, f"output_dir={tmp_path / 'edit'}")
    assert done.code == 0, done.err
    assert "attention sites changed, 0.00 MiB of maps kept at most" in done.out
    done = ldmlab("edit", *WORDS, model, "method=fixed_seed", f"output_dir={tmp_path / 'fixed'}")
    assert done.code == 0, done.err
    done = ldmlab("edit", *WORDS, model, "method.tau_grid=[0,1]", f"output_dir={tmp_path / 'grid'}")
    assert done.code == 0, done.err
    words = ("a red star", "n=2", "seed=5", "sampler.steps=3", model)
    assert ldmlab("sample", *words, f"output_dir={tmp_path / 'sample'}").code == 0
    source = drawn(tmp_path / "edit", "source")
    assert len(source) == 2
    for number in ("00000", "00001"):
        plain, edited = (tmp_path / f"sample/{number}.png", tmp_path / f"edit/{number}_source.png")
        assert plain.read_bytes() == edited.read_bytes()  # pixels and settings
    told = read_settings(tmp_path / "edit/00001_edit.png")
    assert told is not None
    assert (told["prompt"], told["source"], told["index"], told["seed"]) == ("a blue star", "a red star", 1, 5)
    assert told["method"]["tau"] == 0.8
    assert str(tmp_path) not in str(told)
    assert source == drawn(tmp_path / "fixed", "source") == drawn(tmp_path / "grid", "source")
    assert drawn(tmp_path / "grid", "edit_0") == drawn(tmp_path / "fixed", "edit")  # tau 0
    assert drawn(tmp_path / "grid", "edit_1") != drawn(tmp_path / "grid", "edit_0")
    assert (tmp_path / "edit/contact_sheet.png").is_file()


def test_reweighting_alone_and_prompts_with_commas(dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    model = f"ckpt={dit / 'model.safetensors'}"
    words = ("source=a red star, (big)", "n=9", "sampler.steps=2", model)
    done = ldmlab("edit", *words, "method.reweight={star: 3, red: -1}", "method.blend=[]", f"output_dir={tmp_path}")
    assert done.code == 0, done.err
    assert len(drawn(tmp_path, "source")) == len(drawn(tmp_path, "edit")) == 9
    assert drawn(tmp_path, "source") != drawn(tmp_path, "edit")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("target=null",), "says the same as source; change a word, or give reweight"),
        slow(("target=A red STAR",), "says the same as source"),
        (("method.reweight={moon: 2}",), "reweight.moon: the prompt has no 'moon'; its words are a, blue, star"),
        (("method.tau=1.2",), "tau=1.2: give a share between 0 and 1"),
        slow(("method.tau_grid=[0,2]",), "tau=2: give a share between 0 and 1"),
        slow(("method=magic",), "group 'method' has no option 'magic'"),
        slow(("method.reweight={blue: much}",), "reweight.blue=much: give a number, or a list of numbers"),
        slow(('method.reweight={blue: "2"}',), "reweight.blue=2: give a number, or a list of numbers"),
        slow(("method.reweight={blue: []}",), "reweight.blue=[]: give a number, or a list of numbers"),
        slow(("method.reweight=[blue]",), "reweight=blue: give {WORD: VALUE}, or a list"),
        slow(("method.reweight=2",), "reweight=2: give {WORD: VALUE}, or a list"),
        slow(("method.word_tau={blue: true}",), "word_tau.blue=True: give a share between 0 and 1"),
        (("source=null",), "source: this method needs one"),
        (("method=fixed_seed", "target=null"), "target: this method needs one"),
        slow(("method=fixed_seed", "target=a red star"), "says the same as source"),
        (("method=fixed_seed", "method.tau_grid=[0,1]"), "unknown key 'method.tau_grid'"),
        (
            ("method.tau=0", "method.self_tau=0.5", "method.self_side=1"),
            "self_side: no grid of the model is that small",
        ),
        slow(("sampler.steps=-1",), "sampler.steps=-1: choose between 1 and the 1000"),
        slow(("sampler.steps=1000000000",), "sampler.steps=1000000000: choose between 1 and the 1000"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bad_edits(words: tuple[str, ...], told: str, dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    model = f"ckpt={dit / 'model.safetensors'}"
    assert told in ldmlab("edit", *WORDS, *words, model, f"output_dir={tmp_path / 'out'}").refusal()
    assert not (tmp_path / "out").exists()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photo of no size that a model has."""
    path = tmp_path / "photo.png"
    gradient = np.add.outer(np.arange(100), np.arange(140)).astype(np.uint8)
    Image.fromarray(np.stack([gradient, gradient[::-1], 255 - gradient], axis=-1)).save(path)
    return path


@pytest.fixture
def hole(tmp_path: Path) -> Path:
    """A mask of the photo's size."""
    path = tmp_path / "hole.png"
    mask = Image.new("L", (140, 100))
    mask.paste(255, (65, 45, 80, 55))
    mask.save(path)
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("method=sdedit", "target=a red star", "image={picture}", "method.strength_grid=[0.5,1]"),
        slow(("method=sdedit", "target=a red star", "source=a blue star")),
        ("method=inpaint", "image={picture}", "mask={hole}"),
        slow(("method=mask_blend", "target=a red star", "image={picture}", "mask={hole}")),
        ("method=uncrop", "image={small}", "method.canvas=[{wide}]", "method.place=left"),
        slow(("method=fixed_seed", "source=a red star", "target=a blue star", "image={picture}")),
    ],
    ids=" ".join,
)
def test_editing_pictures(
    words: tuple[str, ...], picture: Path, hole: Path, dit: Path, ldmlab: Command, tmp_path: Path
) -> None:
    small = tmp_path / "small.png"
    Image.open(picture).resize((8, 8)).save(small)
    named = {"picture": picture, "hole": hole, "small": small, "wide": f"{SIDE},{SIDE + 8}"}
    told = [word.format(**named) for word in words]
    model = f"ckpt={dit / 'model.safetensors'}"
    done = ldmlab("edit", *told, model, "n=2", "sampler.steps=3", f"output_dir={tmp_path / 'out'}")
    assert done.code == 0, done.err
    assert "peak memory: " in done.out
    count = 4 if "strength_grid" in " ".join(words) else 1 if "method=fixed_seed" in words else 2
    assert len(list((tmp_path / "out").glob("0*_edit*.png"))) == count
    assert (tmp_path / "out/contact_sheet.png").is_file()
    if not {"image={picture}", "mask={hole}"} <= {*words}:
        return
    assert "100 x 140 pixels: 48 windows of the model's 32 x 32, of which " in done.out
    photo, mask = np.asarray(Image.open(picture)), np.asarray(Image.open(hole)) > 0
    for path in (tmp_path / "out").glob("0*_edit.png"):
        edited = np.asarray(Image.open(path))
        assert np.array_equal(edited[~mask], photo[~mask])
        assert not np.array_equal(edited[mask], photo[mask])


def test_what_works_at_the_models_size_says_so(picture: Path, dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    hole = tmp_path / "mask.png"
    Image.new("L", (10, 20), 255).save(hole)
    model = f"ckpt={dit / 'model.safetensors'}"
    done = ldmlab("edit", *WORDS, "method=mask_blend", f"mask={hole}", model, f"output_dir={tmp_path / 'out'}")
    assert "mask: 20 x 10 pixels; its centre is taken, scaled to the model's 32 x 32" in done.out
    done = ldmlab("edit", *WORDS, "method=fixed_seed", f"image={picture}", model, f"output_dir={tmp_path / 'fixed'}")
    assert "image: 100 x 140 pixels; its centre is taken, scaled to the model's 32 x 32" in done.out
    words = (
        "method=sdedit",
        "target=a star",
        f"image={hole}",
        "method.overlap=0.3",
        f"output_dir={tmp_path / 'refused'}",
    )
    assert "overlap=0.3: a picture of [20,10] pixels has a single window" in ldmlab("edit", *words, model).refusal()


def test_words_that_are_no_keys_are_weighed_too(dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    model = f"ckpt={dit / 'model.safetensors'}"
    words = ("source=a red café", "n=1", "sampler.steps=2", model, f"output_dir={tmp_path}")
    done = ldmlab(
        "edit", *words, 'method.reweight=["café: [3, 1]", "a red: 0.5"]', "method.half_maps=true", "method.blend=[]"
    )
    assert done.code == 0, done.err
    assert drawn(tmp_path, "source") != drawn(tmp_path, "edit")


@pytest.mark.parametrize("inversion", ["direct", slow("ddim"), slow("negative_prompt"), "null_text"])
def test_a_picture_is_inverted_and_edited(
    inversion: str, picture: Path, dit: Path, ldmlab: Command, tmp_path: Path
) -> None:
    words = (f"image={picture}", f"inversion={inversion}", "method.tau_grid=[0,1]", f"ckpt={dit / 'model.safetensors'}")
    done = ldmlab("edit", *WORDS, *words, f"output_dir={tmp_path / 'out'}")
    assert done.code == 0, done.err
    told = done.out.splitlines()
    assert told[0] == f"image: 100 x 140 pixels; its centre is taken, scaled to the model's {SIDE} x {SIDE}"
    assert told[1].startswith("reconstruction: ")
    assert "dB PSNR; the autoencoder alone: " in told[1]
    assert [path.name for path in sorted((tmp_path / "out").glob("0*.png"))] == [
        "00000_edit_0.png",
        "00000_edit_1.png",
        "00000_source.png",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("image={picture}", *WORDS, "sampler=ddpm"), "sampler=ddpm: inversion needs a sampler of first order"),
        slow(("image={picture}", "target=a blue star"), "source: this method needs one"),
        (("method=sdedit", "image=nowhere.png"), "image=nowhere.png: no such file or directory"),
        (("method=sdedit", "image={text}"), "holds no picture; give a JPEG, PNG or WebP file"),
        slow(("method=sdedit", "image={huge}"), "an enormous picture; scale it down"),
        slow(("method=sdedit", "image={picture}", "method.strength=0"), "strength=0"),
        (
            ("method=inpaint", "image={picture}", "mask={small}"),
            "and the image 100 x 140; give a mask of its size",
        ),
        slow(("method=inpaint", "image={picture}"), "mask: this method needs one"),
        (("method=uncrop", "image={picture}"), "no value for method.canvas"),
        slow(("method=image_to_image", "image={picture}"), "this model draws from no picture"),
        (("source=a red star", "target=a blue star", "mask={hole}"), "mask: this method makes no use of it"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bad_pictures(
    words: tuple[str, ...], told: str, picture: Path, hole: Path, dit: Path, ldmlab: Command, tmp_path: Path
) -> None:
    named = {name: tmp_path / f"{name}.png" for name in ("text", "huge", "small")}
    named["text"].write_text("no picture")
    if any("{huge}" in word for word in words):  # writing it takes seconds
        Image.new("1", (40_000, 40_000)).save(named["huge"])
    Image.new("L", (32, 32), 255).save(named["small"])
    given = [word.format(picture=picture, hole=hole, **named) for word in words]
    model = f"ckpt={dit / 'model.safetensors'}"
    assert told in ldmlab("edit", *given, model, f"output_dir={tmp_path / 'out'}").refusal()
    assert not (tmp_path / "out").exists()
