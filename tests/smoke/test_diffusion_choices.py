"""Processes, objectives, variances and guidance from the command line, and what does not go together."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ldmlab.tensor_file import write_tensors

Command = Callable[..., Any]
Tiny = dict[str, tuple[str, ...]]
slow = partial(pytest.param, marks=pytest.mark.slow)


def train(ldmlab: Command, tiny: Tiny, shards: Path, autoencoder: Path, folder: Path, *words: str) -> Any:
    common = (*tiny["dit"], f"data.path={shards}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    return ldmlab("train", *common, f"output_dir={folder}", *words)


@pytest.fixture(scope="module")
def hybrid(
    ldmlab: Command, tiny: Tiny, shards: Path, autoencoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A model that learned its variance, as DiT does."""
    folder = tmp_path_factory.mktemp("hybrid") / "run"
    words = (
        "objective=hybrid",
        "schedule=linear",
        "parameterization=epsilon",
        "sampler=ddpm",
        "sampler.variance=learned",
    )
    done = train(ldmlab, tiny, shards, autoencoder, folder, *words, "sampler.steps=2")
    assert done.code == 0, done.err
    return f"ckpt={folder / 'model.safetensors'}"


def figures(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())["metrics"]


def test_a_learned_variance_is_sampled_with_and_measured(
    hybrid: str, shards: Path, ldmlab: Command, pixels: Callable[[Path], bytes], tmp_path: Path
) -> None:
    words = (hybrid, "n=2", "sampler=ddpm", "sampler.steps=3")
    for variance in ("learned", "fixed_large"):
        done = ldmlab(
            "sample", "a red star", *words, f"sampler.variance={variance}", f"output_dir={tmp_path / variance}"
        )
        assert done.code == 0, done.err
    pictures = [pixels(tmp_path / name / "00000.png") for name in ("learned", "fixed_large")]
    assert pictures[0] != pictures[1]
    words = (hybrid, "metric=vlb", "n=3", "metric.vlb.steps=4", f"data.path={shards}", f"output_dir={tmp_path / 'vlb'}")
    done = ldmlab("evaluate", *words)
    assert done.code == 0, done.err
    found = figures(tmp_path / "vlb")
    assert set(found) == {f"bits_per_dim/{name}" for name in ("fixed_small", "fixed_large", "learned", "prior")} | {"n"}
    assert found["bits_per_dim/learned"] > found["bits_per_dim/prior"] >= 0
    manifest = json.loads((tmp_path / "vlb/metrics.json").read_text())["manifest"]
    assert (manifest["metric"], manifest["bound_steps"], manifest["sampler"]) == ("vlb", 4, None)
    words = (hybrid, "metric=vlb", "metric.vlb.steps=1001", f"data.path={shards}", f"output_dir={tmp_path / 'more'}")
    assert "metric.vlb.steps=1001: the model has 1000 timesteps" in ldmlab("evaluate", *words).refusal()


def test_a_variance_that_was_not_learned(dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    words = (f"ckpt={dit / 'last.ckpt'}", "sampler=ddpm", "sampler.steps=2", "sampler.variance=learned")
    line = ldmlab("sample", "a red star", *words, f"output_dir={tmp_path / 'out'}").refusal()
    assert "sampler.variance=learned: this model learned no variance; use fixed_small or fixed_large" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        slow(("parameterization=posterior_mean", "schedule=linear")),
        ("parameterization=flow_velocity", "schedule=rectified_flow", "sampler=euler"),
        slow(("parameterization=x0", "schedule.zero_terminal_snr=true", "objective=min_snr")),
    ],
    ids=lambda words: words[0],
)
def test_a_process_is_stored_with_the_model(
    words: tuple[str, ...], tiny: Tiny, shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    done = train(ldmlab, tiny, shards, autoencoder, tmp_path / "run", *words)
    assert done.code == 0, done.err
    model = f"ckpt={tmp_path / 'run/model.safetensors'}"
    done = ldmlab("sample", "a red star", model, "n=1", "sampler.steps=2", f"output_dir={tmp_path / 'samples'}")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("parameterization=epsilon", "schedule.zero_terminal_snr=true"),
            "parameterization=epsilon: the schedule ends",
        ),
        slow(
            ("parameterization=epsilon", "schedule=rectified_flow"),
            "use parameterization=velocity, flow_velocity or x0",
        ),
        (("sampler.eta=1.5",), "sampler.eta=1.5: eta must lie in [0, 1]"),
        slow(("sampler.steps=1001",), "sampler.steps=1001: choose between 1 and the 1000 timesteps"),
        slow(("objective=min_snr", "objective.gamma=0"), "objective.gamma=0"),
        (("guidance.scale=-1",), "guidance.scale=-1: the scale must be at least 0 (1 is neutral)"),
        slow(("guidance=interval", "guidance.low=3", "guidance.high=2"), "guidance.low=3, guidance.high=2"),
        slow(("backbone.patch=3",), "backbone.patch=3 does not divide the latent grid of 4"),
        (("data.image_size=36",), "data.image_size=36: the autoencoder's factor 8 does not divide it"),
        slow(("schedule.timesteps=1",), "schedule.timesteps=1"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_does_not_go_together_is_refused_before_training(
    words: tuple[str, ...],
    told: str,
    tiny: Tiny,
    shards: Path,
    autoencoder: Path,
    ldmlab: Command,
    tmp_path: Path,
) -> None:
    assert told in train(ldmlab, tiny, shards, autoencoder, tmp_path / "run", *words).refusal()
    assert not (tmp_path / "run").exists()


def test_negative_prompts_and_other_guidance(
    dit: Path, unet: Path, ldmlab: Command, pixels: Callable[[Path], bytes], tmp_path: Path
) -> None:
    model, weak = f"ckpt={dit / 'model.safetensors'}", unet / "model.safetensors"
    ways = {
        "plain": (),
        "negative": ("negative_prompt=a blue circle",),
        "lecture": ("guidance.convention=one_plus_w", "guidance.scale=3"),
        "interval": ("guidance=interval", "guidance.high=1"),
        "autoguidance": ("guidance=autoguidance", f"guidance.ckpt={weak}"),
    }
    for name, words in ways.items():
        done = ldmlab("sample", "a red star", model, "n=1", "sampler.steps=3", *words, f"output_dir={tmp_path / name}")
        assert done.code == 0, done.err
    pictures = {name: pixels(tmp_path / name / "00000.png") for name in ways}
    assert pictures["lecture"] == pictures["plain"]  # scale 4 is the default
    assert len(set(pictures.values())) == len(ways) - 1


def test_guidance_that_does_not_fit(dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    words = ("a red star", f"ckpt={dit / 'model.safetensors'}", f"output_dir={tmp_path / 'out'}")
    line = ldmlab("sample", *words, "guidance=autoguidance", "guidance.ckpt=shapes/unet").refusal()
    assert "guidance.ckpt=shapes/unet: works on the latents of another autoencoder" in line
    line = ldmlab("sample", *words, "guidance=none", "negative_prompt=a blue circle").refusal()
    assert "no use of a negative prompt; use guidance=classifier_free" in line
    assert not (tmp_path / "out").exists()


def test_the_bound_is_that_of_a_diffusion_model(
    autoencoder: Path, shards: Path, ldmlab: Command, tmp_path: Path
) -> None:
    words = (f"ckpt={autoencoder / 'last.ckpt'}", "metric=vlb", f"data.path={shards}", "n=2")
    line = ldmlab("evaluate", *words, f"output_dir={tmp_path / 'out'}").refusal()
    assert "metric=vlb: its figures are of a latent diffusion model; give ckpt= of one" in line


def test_a_run_may_start_from_the_conditioner_of_another(
    dit: Path, tiny: Tiny, shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    start = f"conditioner_ckpt={dit / 'model.safetensors'}"
    common = (*tiny["dit"], f"data.path={shards}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}", start)
    done = ldmlab("train", *common, "optimizer.lr=0", f"output_dir={tmp_path / 'run'}")
    assert done.code == 0, done.err
    given, made = (load_file(folder / "model.safetensors") for folder in (dit, tmp_path / "run"))
    names = [name for name in given if name.startswith("conditioner.")]
    assert len(names) > 5
    assert all(torch.equal(given[name], made[name]) for name in names)
    done = ldmlab("train", *common, "conditioner.width=64", f"output_dir={tmp_path / 'wide'}")
    line = done.refusal()
    assert f"conditioner_ckpt={dit / 'model.safetensors'}: is of another architecture" in line
    assert line.endswith("; conditioner_ckpt=null starts from nothing")


def test_a_model_may_be_exported_without_the_autoencoder_that_ships(
    tiny: Tiny, shards: Path, autoencoder: Path, ldmlab: Command, pixels: Callable[[Path], bytes], tmp_path: Path
) -> None:
    words = (*tiny["dit"], f"data.path={shards}", "export_autoencoder=false", f"output_dir={tmp_path / 'run'}")
    own = ldmlab("train", *words, f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    assert "does not come with ldmlab" in own.refusal()
    done = ldmlab("train", *words, "autoencoder_ckpt=shapes/dit", f"latents.path={tmp_path / 'latents'}")
    assert done.code == 0, done.err
    path = tmp_path / "run/model.safetensors"
    assert not any(name.startswith("autoencoder.") for name in load_file(path))
    pictures = []
    for ckpt in (path, tmp_path / "run/last.ckpt"):  # the checkpoint holds it
        out = f"output_dir={tmp_path / ckpt.stem}"
        done = ldmlab("sample", "a red star", "n=1", "sampler.steps=2", f"ckpt={ckpt}", out)
        assert done.code == 0, done.err
        pictures.append(pixels(tmp_path / ckpt.stem / "00000.png"))
    assert pictures[0] == pictures[1]
    with safe_open(path, "pt") as stored:
        told = stored.metadata()
    config = json.loads(told["config"]) | {"autoencoder_ckpt": "shapes/nobody"}
    with open(tmp_path / "lost.safetensors", "wb") as file:
        write_tensors(file, load_file(path), told | {"config": json.dumps(config)})
    lost = ldmlab("sample", "a red star", f"ckpt={tmp_path / 'lost.safetensors'}", f"output_dir={tmp_path / 'no'}")
    assert "reads the autoencoder of shapes/nobody, which does not come with this ldmlab" in lost.refusal()
