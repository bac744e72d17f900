from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from ldmlab.cli.arguments import parse
from ldmlab.cli.command import find, names
from ldmlab.configs import catalogue
from ldmlab.configs.compose import validate
from ldmlab.configs.errors import UserError
from ldmlab.configs.hints import instead_of_key
from ldmlab.configs.key_types import leaves
from ldmlab.configs.synonyms import _KEYS, _MEANINGS
from ldmlab.configs.validate import _plain

Refused = Callable[..., str]


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    """Keep what the catalogue found in conf/, which these tests ask for thousands of times."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("keys", "groups", "options", "option_keys"):
            patch.setattr(catalogue, name, cache(getattr(catalogue, name)))
        yield


@cache
def keys(command: str) -> list[str]:
    return [key for key, _ in leaves(_plain(validate(command, [], complete=False)))]


@pytest.mark.parametrize(
    ("command", "wrong", "meant"),
    [
        ("train", "expirement", "experiment"),
        ("train", "modle", "model"),
        ("train", "backbon", "backbone"),
        ("train", "optimzer", "optimizer"),
        ("sample", "samplr", "sampler"),
        ("evaluate", "extracter", "extractor"),
        ("edit", "metod", "method"),
        ("train", "epochs", "trainer.max_epochs"),
        ("train", "steps", "trainer.max_steps"),
        ("sample", "steps", "sampler.steps"),
        ("sample", "num_inference_steps", "sampler.steps"),
        ("train", "gpus", "trainer.devices"),
        ("train", "trainer.gpus", "trainer.devices"),
        ("sample", "gpus", "device"),
        ("train", "cfg", "guidance.scale"),
        ("sample", "cfg_scale", "guidance.scale"),
        ("evaluate", "guidance_scale", "guidance.scale"),
        ("train", "learning_rate", "optimizer.lr"),
        ("train", "lr", "optimizer.lr"),
        ("train", "optimizer.learning_rate", "optimizer.lr"),
        ("train", "batch_size", "data.batch_size"),
        ("sample", "bs", "batch_size"),
        ("train", "wandb", "logger=wandb"),
        ("train", "resume", "ckpt_path"),
        ("sample", "checkpoint", "ckpt"),
        ("sample", "model_path", "ckpt"),
        ("sample", "prompt", "prompts"),
        ("attention", "prompts", "prompt"),
        ("edit", "prompt", "target"),
        ("sample", "output", "output_dir"),
        ("export", "output_dir", "output"),
        ("data", "output_dir", "data.path"),
        ("data", "path", "data.path"),
        ("data", "n", "dataset.train"),
        ("evaluate", "nsamples", "n"),
        ("evaluate", "ref_batch", "reference"),
        ("sample", "guidancescale", "guidance.scale"),
        ("sample", "num_samples", "n"),
        ("train", "device", "trainer.accelerator"),
        ("train", "vae", "autoencoder_ckpt"),
        ("train", "Mixed-Precision", "precision"),
        ("sample", "sampler.stesp", "sampler.steps"),
        ("train", "backbone.detph", "backbone.depth"),
        ("train", "callbacks.grid", "callbacks.grids"),
        ("train", "callbacks.grids.everyy", "grid_every"),
    ],
)
def test_what_was_meant(command: str, wrong: str, meant: str) -> None:
    assert instead_of_key(command, wrong, keys(command)) == f"; did you mean '{meant}'?"


LARGE = ("evaluate", "train")
"""Commands that have nearly all groups between them; the others are slow tests."""


@pytest.mark.parametrize(
    "command", [each if each in LARGE else pytest.param(each, marks=pytest.mark.slow) for each in names()]
)
def test_whatever_is_proposed_is_there(command: str) -> None:
    own = keys(command)
    known = {*own, *(group.name for group in catalogue.groups(command))}
    for word in _KEYS.keys() - known:
        line = instead_of_key(command, word, own)
        if "did you mean '" in line:
            proposed = line.partition("did you mean '")[2].partition("'")[0]
            assert proposed.partition("=")[0] in known, word


def test_every_key_of_the_table_is_one_of_some_command() -> None:
    known = {key for command in names() for key in keys(command)} | set(catalogue.all_groups())
    known |= {key.name for command in names() for key in catalogue.keys(command)}
    for group in ("metric", "method"):
        options = catalogue.options(group)
        known |= {f"{group}.{key.name}" for option in options for key in catalogue.option_keys(group, option)}
    known |= {key.name for option in catalogue.options("dataset") for key in catalogue.option_keys("dataset", option)}
    known |= {"logger.wandb.offline", "logger.wandb.project"}
    assert {key.partition("=")[0] for meant, _ in _MEANINGS for key in meant} - {"init_ckpt"} <= known


@pytest.mark.parametrize(
    ("command", "overrides", "told"),
    [
        (
            "evaluate",
            ["metric=cmmd", "metric.cmmd.weights=clip.pt"],
            "unknown key 'metric.cmmd.weights'; did you mean 'metric.cmmd.extractor.weights'?",
        ),
        ("sample", ["samplr=ddim"], "unknown key 'samplr'; did you mean 'sampler'?"),
        ("evaluate", ["metric=fid"], "group 'metric' has no option 'fid'; did you mean 'frechet_distance'?"),
        ("evaluate", ["metric=[diversity,prdc]"], "no option 'prdc'; did you mean 'density_coverage'?"),
        ("evaluate", ["metric=IS"], "no option 'IS'; did you mean 'inception_score'?"),
        ("train", ["model=dit"], "group 'model' has no option 'dit'; did you mean 'backbone=dit'?"),
        ("edit", ["method=sdedit", "tau=0.3"], "unknown key 'tau'; 'method.tau' comes with method=prompt_to_prompt"),
        ("edit", ["tau=0.3"], "unknown key 'tau'; did you mean 'method.tau'?"),
        ("edit", ["feather=3"], "'method.feather' comes with method=inpaint or method=mask_blend or method=sdedit or"),
        ("evaluate", ["dataset=shapes"], "did you mean 'data.path'?"),
        (
            "train",
            ["callbacks=[default,evaluation]", "metric=ssim"],
            "no group 'metric' here; 'metric@callbacks.evaluation.metrics' comes with callbacks=evaluation",
        ),
        (
            "train",
            ["callbacks=[default,evaluation]", "callbacks.evaluation.metrics=[ssim]"],
            "this is a section; choose its options by metric@callbacks.evaluation.metrics=NAME",
        ),
        ("train", ["callbacks=[default]", "trainer=5"], "'trainer=5': 'trainer' is a group and takes the name of"),
        ("train", ["+trainer.barebones=true"], "trainer.barebones: it takes away the checkpoints"),
        ("train", ["training.warmup_steps=3"], "did you mean 'scheduler.warmup_steps'?"),
        ("train", ["training.learning_rate_decay=cosine"], "did you mean 'scheduler'?"),
        ("train", ["logger=wandb", "logger.offline=false"], "did you mean 'logger.wandb.offline'?"),
        (
            "train",
            ["logger=wandb", "logger.wandb.offline=false"],
            "there is no key for Weights & Biases; run `wandb login`",
        ),
    ],
)
def test_hints_are_told(
    command: str, overrides: list[str], told: str, refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    assert told in refused(command, *overrides)


def test_an_experiment_without_its_first_line(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "experiment/deep").mkdir(parents=True)
    for name in ("mine", "deep/mine"):
        (tmp_path / f"experiment/{name}.yaml").write_text("n: 3\n")
        told = refused("sample", f"hydra.searchpath=['file://{tmp_path}']", f"experiment={name}")
        assert "begin its file with the line '# @package _global_'" in told


@pytest.mark.parametrize("prompt", ["a=b red star", 'E=mc^2, on a "board"', "x=[y it's"])
def test_a_prompt_that_reads_as_a_key(prompt: str) -> None:
    import shlex

    with pytest.raises(UserError, match="a prompt with '=' in its first word is written ") as raised:
        parse("sample", [prompt])
    (written,) = shlex.split(str(raised.value).rpartition(" is written ")[2])
    config = validate("sample", parse("sample", [written]).overrides)
    assert list(config.prompts) == [prompt]


def test_a_key_that_is_nearly_right_is_no_prompt() -> None:
    with pytest.raises(UserError, match="unknown key 'promtps'; did you mean 'prompts'"):
        parse("sample", ["promtps=a red star"])
    assert parse("sample", ["sampler.note=a b", "negative_prompt=a b", "+x=a b"]).overrides


@pytest.mark.parametrize("flag", ["--lr=0.1", "--batch-size", "--epochs"])
def test_keys_are_no_flags(flag: str) -> None:
    with pytest.raises(UserError, match=f"unknown flag '{flag}'; keys are written KEY=VALUE"):
        parse("train", [flag, "4"])


@pytest.mark.parametrize("host", ["api.wandb.example", None])
def test_a_key_in_netrc_is_enough(host: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text(f"machine {host} login user password secret\n" if host else "machine other\n")
    if host is None:
        with pytest.raises(UserError, match="there is no key"):
            validate("train", ["logger=wandb", "logger.wandb.offline=false"], checks=find("train"))
        monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    validate("train", ["logger=wandb", "logger.wandb.offline=false"], checks=find("train"))
