"""Every option builds what it names, and every experiment trains; found by glob, so a new yaml is covered at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from ldmlab.cli.command import names
from ldmlab.configs import catalogue
from ldmlab.configs.build import build_method
from ldmlab.configs.compose import hydra_at_conf, validate
from ldmlab.configs.training import build_learning_rate, build_trainer, instances
from ldmlab.editing.methods.base import EditMethod
from ldmlab.paths import conf_dir, experiments_dir

PLACEHOLDER = "/nowhere/weights"
ARGUMENTS = {"backbone": {"channels": 4, "grid": 16, "context_width": 32, "vector_width": 32}, "data": {"seed": 0}}
WITHOUT_MEMORY = ("backbone", "conditioner", "autoencoder")

# Sizes that an experiment is cut down to, as far as it has them, and the length of every run.
SMALL = {
    "data.image_size": 32,
    "data.batch_size": 4,
    "data.num_workers": 0,
    "autoencoder.channels": 8,
    "autoencoder.norm_groups": 4,
    "autoencoder.residual_blocks": 1,
    "discriminator.channels": 8,
    "backbone.patch": 2,
    "backbone.width": 32,
    "backbone.depth": 1,
    "backbone.heads": 2,
    "backbone.model_channels": 32,
    "backbone.residual_blocks": 1,
    "backbone.multipliers": "[1,2]",
    "backbone.attention_factors": "[1,2]",
    "conditioner.length": 64,
    "conditioner.width": 32,
    "conditioner.depth": 1,
    "conditioner.heads": 2,
    "conditioner.text.length": 64,
    "conditioner.text.width": 32,
    "conditioner.text.depth": 1,
    "conditioner.text.heads": 2,
    "scheduler.warmup_steps": 0,
    "sampler.steps": 1,
    "grid_every": 1,
    "min_psnr": 0,
}
SHORT = ("trainer.max_steps=1", "trainer.accelerator=cpu")


def options() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(group, command, overrides...) for each option, with the first command that has its group."""
    seen = set()
    for command in names():
        for group in catalogue.groups(command):
            choice = [group.where.split(", ")[0]] if group.where else []
            for option in catalogue.options(group.name):
                override = f"{group.name}={option}"
                if override not in seen and group.name != "experiment":
                    seen.add(override)
                    yield group.name, command, (*choice, override)


def targets(node: Any) -> list[DictConfig]:
    """The sections of a config that name a target, without those inside another."""
    if not isinstance(node, DictConfig):
        return []
    if "_target_" in node:
        return [node]
    return [found for name in node for found in targets(node._get_node(name))]


def fill_missing(section: DictConfig) -> None:
    for name in section:
        if OmegaConf.is_missing(section, name):
            section[name] = PLACEHOLDER
        elif isinstance(section[name], DictConfig):
            fill_missing(section[name])


def build(section: DictConfig, group: str) -> Any:
    with torch.device("meta" if group in WITHOUT_MEMORY else "cpu"):
        made = instantiate(section, **ARGUMENTS.get(group, {}))
    return made([nn.Parameter(torch.zeros(1))]) if section.get("_partial_") else made


@pytest.mark.parametrize(("group", "command", "overrides"), options(), ids=lambda value: str(value))
def test_option_composes_and_builds(
    group: str, command: str, overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = validate(command, overrides, complete=False)  # some options need a path to weights
    if group == "method":  # its own keys stand at the top
        if OmegaConf.is_missing(config.method, "canvas"):
            config.method.canvas = [64, 96]
        assert isinstance(build_method(config), EditMethod)
        return
    section = OmegaConf.select(config, group.replace("/", "."))
    if group in ("callbacks", "logger"):
        if "tensorboard" in section:
            pytest.importorskip("tensorboard")
        assert len(instances(config, group)) == len([each for each in section.values() if each is not None])
        return
    if group == "scheduler":
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
        assert isinstance(build_learning_rate(section).schedule(optimizer, 1000), LRScheduler)
        return
    if group == "trainer":
        assert build_trainer(config).max_steps > 0
    if group in ("trainer", "model") or not targets(section):
        return
    fill_missing(section)
    try:
        assert build(section, group) is not None
    except InstantiationException as error:
        cause = error.__cause__
        assert isinstance(cause, ValueError), cause
        assert "weights" in str(cause)


PUBLISHED = [name for name in catalogue.options("experiment") if name.startswith("published/")]


def file_of(name: str) -> dict[str, Any]:
    """An experiment's file over the one that it is based on, with its choices of options by group."""
    own = yaml.safe_load((experiments_dir() / f"{name}.yaml").read_text())
    base: dict[str, Any] = {}
    choices: dict[str, Any] = {}
    for entry in own["defaults"]:
        if isinstance(entry, str):
            base = file_of(entry.removeprefix("/experiment/"))
            choices |= base["defaults"]
        else:
            choices |= {key.removeprefix("override /"): option for key, option in entry.items()}
    return {**base, **own, "defaults": choices}


def written(name: str) -> dict[str, Any]:
    """A published experiment as its file and that of its backbone say, without composing it."""
    experiment = file_of(name)
    choices = experiment["defaults"]
    file = conf_dir() / "backbone" / f"{choices.pop('backbone')}.yaml"
    choices.pop("autoencoder")  # the checkpoint's is taken
    return {**experiment, "defaults": choices, "network": yaml.safe_load(file.read_text())}


def but_for_numbers(node: Any) -> Any:
    """Without numbers and lists, which are sizes."""
    if isinstance(node, dict):
        return {key: kept for key, value in node.items() if (kept := but_for_numbers(value))}
    return node if isinstance(node, str | bool) else None


def trains_here(name: str) -> bool:
    """Not what needs a file of weights."""
    conditioner = written(name).get("conditioner", {})
    return all(section.get("weights", "") is not None for section in (conditioner, conditioner.get("text", {})))


def representatives(trained: bool) -> list[str]:
    """Of published experiments that differ in sizes alone, one."""
    found = {str(but_for_numbers(written(name))): name for name in PUBLISHED if trains_here(name) == trained}
    return list(found.values())


@pytest.mark.parametrize("name", representatives(trained=False))
def test_experiment_is_described(name: str, ldmlab: Callable[..., Any]) -> None:
    done = ldmlab("describe", f"experiment={name}", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["denoiser"]["trainable"] > 1e8


TRAINED = [name for name in catalogue.options("experiment") if catalogue.command_of(name) == "train"]


@pytest.mark.parametrize("name", [*sorted({*TRAINED} - {*PUBLISHED}), *representatives(True)])
def test_experiment_trains_a_step(
    name: str, shards: Path, autoencoder: Path, dit: Path, ldmlab: Callable[..., Any], tmp_path: Path
) -> None:
    with hydra_at_conf("train"):
        config = compose("train", [f"experiment={name}"])
    given, adapts = "autoencoder_ckpt" in config, bool(config.get("adapter"))
    brought = ("autoencoder.",) * given + ("backbone.", "conditioner.") * adapts
    small = {key: value for key, value in SMALL.items() if not key.startswith(brought)}
    sizes = [f"{key}={value}" for key, value in small.items() if OmegaConf.select(config, key) is not None]
    words = [f"experiment={name}", *sizes, *SHORT, f"data.path={shards}", f"output_dir={tmp_path / 'run'}"]
    if adapts:
        words += [f"init_ckpt={dit / 'model.safetensors'}"]
    elif given:
        words += [f"autoencoder_ckpt={autoencoder / 'model.safetensors'}", "conditioner_ckpt=null"]
    done = ldmlab("train", *words)
    assert done.code == 0, done.err
    exported = "adapter.safetensors" if adapts else "model.safetensors"
    assert {"last.ckpt", exported} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_an_entry_of_callbacks_is_a_callback() -> None:
    config = OmegaConf.create({"callbacks": {"mine": {"_target_": "builtins.dict"}}})
    with pytest.raises(
        ValueError, match=r"callbacks\.mine\._target_=builtins\.dict: makes a dict; name a class that is"
    ):
        instances(config, "callbacks")
