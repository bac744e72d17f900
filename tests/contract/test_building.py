"""Every option builds what it names, and every experiment trains; found by glob, so a new yaml is covered at once."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from ldmlab.cli.command import names
from ldmlab.cli.run import without_hydra
from ldmlab.configs import catalogue
from ldmlab.configs.build import build_method
from ldmlab.configs.compose import validate
from ldmlab.configs.training import build_learning_rate, build_trainer, instances, train_from
from ldmlab.editing.methods.base import EditMethod
from ldmlab.paths import conf_dir, experiments_dir

from .options import section_of

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
    "backbone.multipliers": [1, 2],
    "backbone.attention_factors": [1, 2],
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


def options() -> Iterator[Any]:
    """(group, command, overrides) for each option, with the first command that has its group, or GROUP@PACKAGE.

    Overrides choose an option of each other group of that command too, so that a config is composed for all of them.
    A group that stands elsewhere, as metrics do in a callback, has the options that it has where it belongs: all but
    the first are slow tests.
    """
    seen: set[str] = set()
    for command in names():
        found: dict[str, dict[str, list[str]]] = defaultdict(dict)
        for group in catalogue.groups(command):
            if group.name not in seen | {"experiment"}:
                seen.add(group.name)
                found[group.where.split(", ")[0]][catalogue.place(group)] = catalogue.options(group.name)
        for choice, groups in found.items():
            for chosen in zip_longest(*groups.values()):
                row = {group: f"{group}={option}" for group, option in zip(groups, chosen, strict=True) if option}
                for group, override in row.items():
                    again = "@" in group and override != f"{group}={groups[group][0]}"
                    yield pytest.param(
                        group, command, (choice, *row.values())[not choice :], id=f"{command}-{override}",
                        marks=[pytest.mark.slow] * again,
                    )  # fmt: skip


@cache
def composed(command: str, overrides: tuple[str, ...]) -> DictConfig:
    return validate(command, overrides, complete=False)  # some options need a path to weights


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


@pytest.mark.parametrize(("group", "command", "overrides"), options())
def test_option_composes_and_builds(
    group: str, command: str, overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = composed(command, overrides).copy()
    if group == "method":  # its own keys stand at the top
        if OmegaConf.is_missing(config.method, "canvas"):
            config.method.canvas = [64, 96]
        assert isinstance(build_method(config), EditMethod)
        return
    section = OmegaConf.select(config, group.rpartition("@")[2].replace("/", "."))
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
        assert re.search("weights|no list of URLs is named", str(cause)), cause  # which nobody has given here


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


def one_of_each(names: list[str], kind: Callable[[str], Any]) -> list[Any]:
    """All of them; those of a kind that an earlier one is of already are slow tests."""
    first = {kind(name): name for name in reversed(names)}
    return [name if first[kind(name)] == name else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", one_of_each(representatives(trained=False), lambda name: name.split("_")[0]))
def test_experiment_is_described(name: str, ldmlab: Callable[..., Any]) -> None:
    done = ldmlab("describe", f"experiment={name}", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["denoiser"]["trainable"] > 1e8


TRAINED = [name for name in catalogue.options("experiment") if catalogue.command_of(name) == "train"]


def parts(name: str) -> tuple[Any, ...]:
    """What an experiment puts together, whatever its sizes: an autoencoder and its losses, or networks."""
    choices = file_of(name)["defaults"]
    if choices["model"] == "autoencoder":
        return tuple(choices.get(group) for group in ("autoencoder", "loss", "discriminator"))
    network = section_of("backbone", choices.get("backbone", "dit"))["_target_"]
    return network, choices.get("conditioner", "text"), choices.get("adapter")


@pytest.mark.parametrize("name", one_of_each([*sorted({*TRAINED} - {*PUBLISHED}), *representatives(True)], parts))
def test_experiment_trains_a_step(name: str, shards: Path, autoencoder: Path, dit: Path, tmp_path: Path) -> None:
    choices = file_of(name)["defaults"]
    given, adapts = choices["model"] != "autoencoder", "adapter" in choices
    words = [f"experiment={name}", *SHORT, f"data.path={shards}", f"output_dir={tmp_path / 'run'}"]
    if adapts:
        words += [f"init_ckpt={dit / 'model.safetensors'}"]
    elif given:
        words += [f"autoencoder_ckpt={autoencoder / 'model.safetensors'}", "conditioner_ckpt=null"]
    config = validate("train", words)
    brought = ("autoencoder.",) * given + ("backbone.", "conditioner.") * adapts
    for key, value in SMALL.items():
        if not key.startswith(brought) and OmegaConf.select(config, key) is not None:
            OmegaConf.update(config, key, value)
    train_from(without_hydra(config))
    exported = "adapter.safetensors" if adapts else "model.safetensors"
    assert {"last.ckpt", exported} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_an_entry_of_callbacks_is_a_callback() -> None:
    config = OmegaConf.create({"callbacks": {"mine": {"_target_": "builtins.dict"}}})
    with pytest.raises(
        ValueError, match=r"callbacks\.mine\._target_=builtins\.dict: makes a dict; name a class that is"
    ):
        instances(config, "callbacks")
