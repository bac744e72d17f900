"""Every experiment composes; every file in conf/ is some command's; found by glob, so a new yaml is covered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ldmlab.cli.command import names
from ldmlab.configs import catalogue
from ldmlab.configs.validate import validate


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
def test_experiment_composes(name: str) -> None:
    validate(catalogue.command_of(name), [f"experiment={name}"])


def test_every_file_in_conf_is_an_option_of_some_command() -> None:
    reached = {composition[-1] for composition in compositions()}
    written = {
        f"{group}={option}"
        for group in catalogue.all_groups()
        if group != "experiment"
        for option in catalogue.options(group)
    }
    assert written == reached
