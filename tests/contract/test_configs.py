"""Every experiment composes; every file in conf/ is some command's; found by glob, so a new yaml is covered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from ldmlab.cli.command import names
from ldmlab.configs import catalogue
from ldmlab.configs.compose import validate
from ldmlab.paths import experiments_dir


def compositions() -> Iterator[tuple[str, ...]]:
    """(command, overrides...) for each option, with the first command that has its group."""
    seen = set()
    for command in names():
        for group in catalogue.groups(command):
            choice = [group.where.split(", ")[0]] if group.where else []
            for option in catalogue.options(group.name):
                override = f"{group.name}={option}"
                if override not in seen and group.name != "experiment":
                    seen.add(override)
                    yield command, *choice, override


@pytest.mark.parametrize("name", catalogue.options("experiment"))
def test_experiment_composes_to_what_its_file_says(name: str) -> None:
    config = validate(catalogue.command_of(name), [f"experiment={name}"])
    written = yaml.safe_load((experiments_dir() / f"{name}.yaml").read_text())
    whole: Any = OmegaConf.to_container(config, resolve=False)
    for section, value in written.items():
        if section != "defaults":
            assert holds(whole[section], value), section
    for choice in written.get("defaults", []):
        for group, option in choice.items() if isinstance(choice, dict) else ():
            assert config.hydra.runtime.choices[group.removeprefix("override /")] == option


def holds(node: Any, value: Any) -> bool:
    """Whether a part of a config is what a file says of it. A section may have more keys; `???` says nothing."""
    if isinstance(value, dict):
        return all(holds(node[key], each) for key, each in value.items())
    return value == "???" or bool(node == value)


def test_every_file_in_conf_is_an_option_of_some_command() -> None:
    reached = {composition[-1] for composition in compositions()}
    written = {
        f"{group}={option}"
        for group in catalogue.all_groups()
        if group != "experiment"
        for option in catalogue.options(group)
    }
    assert written == reached
