"""Every option builds what it names, and every experiment trains; found by glob, so a new yaml is covered at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hydra import compose
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ldmlab.cli import catalogue
from ldmlab.cli.compose import hydra_at_conf
from ldmlab.cli.manual import PAGES

PLACEHOLDER = "/nowhere/weights"
ARGUMENTS = {"backbone": {"channels": 4, "grid": 16, "context_width": 32, "vector_width": 32}, "data": {"seed": 0}}

# Sizes that an experiment is cut down to, as far as it has them.
SMALL = {
    "data.image_size": 32,
    "data.batch_size": 4,
    "data.num_workers": 0,
    "autoencoder.channels": 8,
    "autoencoder.norm_groups": 4,
    "autoencoder.residual_blocks": 1,
    "discriminator.channels": 8,
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
    "training.warmup_steps": 0,
    "sampler.steps": 1,
    "trainer.max_steps": 1,
    "trainer.accelerator": "cpu",
    "grid_every": 1,
}


def options() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(group, command, overrides...) for each option, with the first command that has its group."""
    seen = set()
    for command in PAGES:
        for group in catalogue.groups(command):
            choice = [group.where.split(", ")[0]] if group.where else []
            for option in catalogue.options(group.name):
                override = f"{group.name}={option}"
                if override not in seen and group.name != "experiment":
                    seen.add(override)
                    yield group.name, command, (*choice, override)


def composed(command: str, *overrides: str) -> DictConfig:
    with hydra_at_conf(command):
        return compose(command, list(overrides))


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
    made = instantiate(section, **ARGUMENTS.get(group, {}))
    return made([nn.Parameter(torch.zeros(1))]) if section.get("_partial_") else made


@pytest.mark.parametrize(("group", "command", "overrides"), options(), ids=lambda value: str(value))
def test_option_builds(
    group: str, command: str, overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = composed(command, *overrides)
    section = OmegaConf.select(config, group.replace("/", "."))
    if group == "trainer":
        section.precision = "32-true" if section.precision == "auto" else section.precision
        L.Trainer(**section, logger=False, enable_checkpointing=False)
    if group in ("trainer", "model") or not targets(section):
        return
    fill_missing(section)
    try:
        assert build(section, group) is not None
    except InstantiationException as error:
        cause = error.__cause__
        assert isinstance(cause, ValueError), cause
        assert "weights" in str(cause)


def trainable_here(config: DictConfig) -> bool:
    """Not so what needs a file of weights, or channels beside the latents that no conditioner gives yet."""
    needs_weights = OmegaConf.select(config, "conditioner.weights", default="") is None
    return not needs_weights and not OmegaConf.select(config, "backbone.concat_channels")


def but_for_numbers(node: Any) -> str:
    """A config without its numbers, which sizes are."""
    if isinstance(node, dict):
        return str({key: but_for_numbers(value) for key, value in node.items()})
    numbers = isinstance(node, int | float | list) and not isinstance(node, bool)
    return "" if numbers or node is None else str(node)


def trained_experiments() -> Iterator[str]:
    """All; but of published networks that differ in size alone, one."""
    families = set()
    for name in catalogue.options("experiment"):
        config = composed("train", f"experiment={name}")
        family = but_for_numbers(OmegaConf.to_container(config, resolve=False))
        if not name.startswith("published/") or (trainable_here(config) and family not in families):
            families.add(family)
            yield name


@pytest.mark.parametrize("name", [n for n in catalogue.options("experiment") if n.startswith("published/")])
def test_published_experiment_builds_without_memory(name: str, ldmlab: Callable[..., Any]) -> None:
    done = ldmlab("describe", f"experiment={name}", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["denoiser"]["trainable"] > 3e7
    assert told["totals"]["activation_bytes"] > told["denoiser"]["trainable"] / 100


@pytest.mark.parametrize("name", trained_experiments())
def test_experiment_trains_a_step(
    name: str, shards: Path, autoencoder: Path, ldmlab: Callable[..., Any], tmp_path: Path
) -> None:
    config = composed("train", f"experiment={name}")
    sizes = [f"{key}={value}" for key, value in SMALL.items() if OmegaConf.select(config, key) is not None]
    words = [f"experiment={name}", *sizes, f"data.path={shards}", f"output_dir={tmp_path / 'run'}"]
    if "autoencoder_ckpt" in config:
        words.append(f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    done = ldmlab("train", *words)
    assert done.code == 0, done.err
    assert {"last.ckpt", "model.safetensors"} <= {path.name for path in (tmp_path / "run").iterdir()}
