"""The front door draws what the commands draw, to the last bit, and refuses in their words."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

import ldmlab as front
from ldmlab.api.model import Model
from ldmlab.pictures.given import as_mask

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def ckpt(dit: Path) -> Path:
    return dit / "model.safetensors"


@pytest.fixture(scope="module")
def model(ckpt: Path) -> Model:
    return front.load(ckpt)


def same_files(folder: Path, other: Path, pattern: str) -> bool:
    """Pixels and settings."""
    names = sorted(path.name for path in folder.glob(pattern))
    assert names == sorted(path.name for path in other.glob(pattern))
    return bool(names) and all((folder / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_samples_are_those_of_the_command(ckpt: Path, model: Model, ldmlab: Command, tmp_path: Path) -> None:
    words = (f"ckpt={ckpt}", "seed=5", "sampler.steps=2", "guidance.scale=2", "negative_prompt=a star, blue")
    done = ldmlab("sample", "a red star", "a blue circle", *words, "n=4", f"output_dir={tmp_path / 'command'}")
    assert done.code == 0, done.err
    prompts = ["a red star", "a blue circle"]
    drawn = model.sample(prompts, n=4, seed=5, steps=2, guidance_scale=2, negative_prompt="a star, blue")
    assert same_files(drawn.save(tmp_path / "python"), tmp_path / "command", "0*.png")
    assert drawn.prompts == prompts * 2
    one = front.sample("a red star", ckpt=ckpt, seed=5, steps=2, guidance_scale=2, negative_prompt="a star, blue")
    assert one[0].tobytes() == drawn[0].tobytes()
    heun = model.sample("a red star", seed=5, sampler="heun", steps=2, overrides={"sampler.spacing": "leading"})
    assert heun[0].tobytes() != drawn[0].tobytes()
    told = heun.settings[0]
    assert told is not None
    assert told["sampler"]["_target_"].endswith(".Heun")


def test_edits_are_those_of_the_command(ckpt: Path, model: Model, ldmlab: Command, tmp_path: Path) -> None:
    words = ("source=a red star", "target=a blue star", "sampler.steps=2", "n=2", "method.tau_grid=[0,1]")
    done = ldmlab("edit", f"ckpt={ckpt}", *words, f"output_dir={tmp_path / 'command'}")
    assert done.code == 0, done.err
    edited = model.edit("a red star", "a blue star", steps=2, n=2, tau_grid=[0, 1])
    assert same_files(edited.save(tmp_path / "python"), tmp_path / "command", "*.png")
    assert (len(edited), len(edited.rows), len(edited.before)) == (4, 2, 2)
    assert edited.titles == ["tau 0: a blue star", "tau 1: a blue star"]
    assert "attention sites changed" in edited.notes[0]


def test_a_picture_is_given_as_a_file_an_image_or_an_array(model: Model, tmp_path: Path) -> None:
    picture = model.sample("a red star", steps=2)[0]
    picture.save(tmp_path / "picture.png")
    mask = np.zeros((32, 32), bool)
    mask[8:20, 8:20] = True
    Image.fromarray(mask).save(tmp_path / "mask.png")

    def inpainted(image: Any, mask: Any) -> bytes:
        edited = model.edit(target="a green star", image=image, mask=mask, method="inpaint", steps=2, resample=1)
        outside = np.asarray(edited[0])[~np.asarray(Image.open(tmp_path / "mask.png"))]
        assert (outside == np.asarray(picture)[~np.asarray(Image.open(tmp_path / "mask.png"))]).all()
        return edited[0].tobytes()

    of_files = inpainted(tmp_path / "picture.png", str(tmp_path / "mask.png"))
    assert inpainted(picture, Image.open(tmp_path / "mask.png")) == of_files
    assert inpainted(np.asarray(picture), mask) == of_files
    as_tensor = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)
    assert inpainted(as_tensor, np.uint8(255) * mask) == of_files
    inverted = model.edit("a red star", "a blue star", image=picture, steps=2, inversion="ddim", tau=0.5)
    assert "reconstruction" not in str(inverted.notes)
    told = inverted.settings[0]
    assert told is not None
    assert list(told["image"]) == ["pixels_sha256"]


def test_attention_is_that_of_the_command(ckpt: Path, model: Model, ldmlab: Command, tmp_path: Path) -> None:
    words = ("prompt=a red star", "sampler.steps=2", "n=2", "save_maps=true", "by=step", "step_bins=2")
    done = ldmlab("attention", f"ckpt={ckpt}", *words, f"output_dir={tmp_path / 'command'}")
    assert done.code == 0, done.err
    maps = model.attention("a red star", steps=2, n=2, by="step", overrides=["step_bins=2"])
    assert same_files(maps.save(tmp_path / "python"), tmp_path / "command", "*.png")
    assert same_files(tmp_path / "python", tmp_path / "command", "maps.safetensors")
    assert maps.words == ["a", "red", "star"]
    assert maps.groups == ["step 1", "step 2"]
    assert maps.numpy().shape == maps.numpy("step 1").shape == (2, 3, 32, 32)
    assert maps.pictures[1].tobytes() == Image.open(tmp_path / "command/00001.png").tobytes()


def test_figures_are_those_of_the_command(
    ckpt: Path, shards: Path, autoencoder: Path, model: Model, ldmlab: Command, tmp_path: Path
) -> None:
    words = (f"data.path={shards}", "n=4", "sampler.steps=2", f"output_dir={tmp_path}")
    done = ldmlab("evaluate", f"ckpt={ckpt}", *words)
    assert done.code == 0, done.err
    figures = model.evaluate(shards, n=4, steps=2)
    told = json.loads((tmp_path / "metrics.json").read_text())
    assert dict(figures) == told["metrics"]
    assert json.loads(figures.save(tmp_path / "again/metrics.json").read_text())["metrics"] == told["metrics"]
    assert figures.manifest["checkpoint_sha256"] == told["manifest"]["checkpoint_sha256"]
    assert f"<td>{next(iter(figures))}</td>" in figures._repr_html_()
    assert repr(figures).startswith(f"{next(iter(figures))}: ")
    with pytest.raises(ValueError, match=r"^sampler.steps: nothing would read it: an autoencoder is measured by what"):
        front.evaluate(shards, ckpt=autoencoder / "model.safetensors", n=4, steps=2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.sample("a red star", sampler="hein"), ("sample", "a red star", "sampler=hein")),
        pytest.param(
            lambda m: m.sample("a red star", steps=0),
            ("sample", "a red star", "sampler.steps=0"),
            marks=pytest.mark.slow,
        ),
        pytest.param(lambda m: m.sample(["a", "b"], n=3), ("sample", "a", "b", "n=3"), marks=pytest.mark.slow),
        (
            lambda m: m.sample("a red star", overrides={"sampler.eta": "much"}),
            ("sample", "a red star", "sampler.eta=much"),
        ),
        (
            lambda m: m.edit("a red star", "a star", inversion="ddim"),
            ("edit", "source=a red star", "target=a star", "inversion=ddim"),
        ),
        (lambda m: m.edit("a red star", image="/no.png"), ("edit", "source=a red star", "image=/no.png")),
        pytest.param(
            lambda m: m.attention("a red star", words=["dog"]),
            ("attention", "prompt=a red star", "words=[dog]"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_mistakes_are_told_as_on_the_command_line(
    call: Callable[[Model], Any], words: tuple[str, ...], ckpt: Path, model: Model, ldmlab: Command, tmp_path: Path
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        call(model)
    assert ldmlab(*words, f"ckpt={ckpt}", f"output_dir={tmp_path / 'none'}").refusal() == f"ldmlab: {caught.value}"


def test_what_only_python_can_give(model: Model, autoencoder: Path) -> None:
    for call, told in (
        (lambda: front.load("shapes/dti"), "ckpt=shapes/dti: no such file; .* did you mean 'shapes/dit'"),
        (lambda: front.load(autoencoder / "model.safetensors").sample("a star"), "holds an autoencoder; give"),
        (lambda: model.sample(), "draws from prompts; give some"),
        (lambda: model.sample([]), "prompts: there is none"),
        (lambda: model.sample("a star", overrides="sampler.eta=1"), "overrides: is one text; give a list"),
        (lambda: model.sample("a star", overrides={"sampler.eta": object()}), "sampler.eta: a object is no setting"),
        (lambda: model.edit("a star", image=np.zeros((8, 8, 3))), r"image: is of float64 with the shape \(8, 8, 3\)"),
        (lambda: model.edit("a star", image=3), "image: is a int; give a path, a PIL picture or an array"),
        (lambda: model.sample(["a star", None]), "prompts: None is none; give text"),  # type: ignore[list-item]
        (lambda: model.sample("a star", overrides=[3]), r"overrides=\[3\]: give lines as"),  # type: ignore[list-item]
        (lambda: model.sample("a star", overrides=["ckpt=shapes/unet"]), "ckpt: .* an argument of ldmlab.load"),
        (lambda: model.sample("a star", overrides=["devices=2"]), "devices: .* computes in its own process"),
        (lambda: model.edit("a star", overrides={"image": "a.png"}), "image: .* an argument of the call"),
        (lambda: model.sample("a star", overrides={"output_dir": "a"}), "output_dir: .* has a method save"),
        (lambda: model.edit("a star", "a dot", tau_grid=[], steps=1), r"tau_grid=\[\]: give at least one"),
        (lambda: as_mask(np.ones((8, 8))), r"mask: is of float64 with the shape \(8, 8\); give an array of bool"),
        (lambda: model.attention("a star", steps=1).numpy("first"), "group=first: .* choose one of all"),
        (lambda: model.sample("a star", steps=1).sheet(columns=0), "columns=0: give 1 or more"),
        (lambda: front.Pictures().sheet(), "pictures: there is none to lay out"),
        (lambda: front.train(3), "overrides=3: give lines as"),  # type: ignore[arg-type]
        (lambda: model.sample("a star", device="tpu"), "device=tpu: input should be 'auto', 'cpu' or 'cuda'"),
    ):
        with pytest.raises(ValueError, match=told):
            call()


def test_hydra_of_the_user_and_other_threads_are_left_alone(model: Model, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("a: 1")
    with initialize_config_dir(str(tmp_path), version_base="1.3"), ThreadPoolExecutor(4) as pool:
        alone = [model.sample("a red star", seed=seed, steps=2)[0].tobytes() for seed in range(2)]
        edited = pool.submit(model.edit, "a red star", "a blue star", steps=2)
        drawn = [pool.submit(model.sample, "a red star", seed=seed, steps=2) for seed in (0, 1)]
        assert [each.result()[0].tobytes() for each in drawn] == alone
        assert edited.result().before[0].tobytes() == alone[0]
        assert compose("own") == {"a": 1}


def test_halves_are_drawn_with_a_copy(model: Model) -> None:
    before = model.sample("a red star", steps=2)
    half = model.sample("a red star", steps=2, precision="bf16")
    assert half[0].tobytes() != before[0].tobytes()
    assert model.sample("a red star", steps=2)[0].tobytes() == before[0].tobytes()
    assert {weight.dtype for weight in model.network.parameters()} == {torch.float32}


def test_a_model_says_what_it_is(model: Model, ckpt: Path, autoencoder: Path) -> None:
    assert repr(model).startswith(f"<ldmlab model {ckpt}: DiT, ")
    assert repr(model).endswith(" M parameters, 32 x 32 pixels, reads prompts>")
    assert "AutoencoderKL" in repr(front.load(autoencoder / "model.safetensors"))


def test_the_run_of_an_adapter_leaves_an_adapter(tmp_path: Path) -> None:
    for base, name in ((None, "model.safetensors"), ("shapes/dit", "adapter.safetensors")):
        with pytest.raises(ValueError, match=f"the run left no {name}"):
            front.Trained(tmp_path, base=base).ckpt  # noqa: B018 - a property
        (tmp_path / name).touch()
        assert front.Trained(tmp_path, base=base).ckpt == tmp_path / name
