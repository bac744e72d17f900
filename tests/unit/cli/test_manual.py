from __future__ import annotations

import re
import shlex

import pytest

from ldmlab.cli import catalogue, manual
from ldmlab.cli.arguments import parse


def belongs(option: str, group: str, command: str) -> bool:
    """Whether an option is listed: all but the experiments of other commands."""
    own = "train" if command == "describe" else command
    return group != "experiment" or catalogue.command_of(option) == own


@pytest.mark.parametrize("command", manual.PAGES)
def test_page_has_every_section_and_option(command: str) -> None:
    page = manual.page(command)
    for title in ("NAME", "SYNOPSIS", "DESCRIPTION", "KEYS", "GROUPS", "FLAGS", "EXAMPLES", "EXIT STATUS"):
        assert re.search(f"^{title}$", page, re.MULTILINE)
    for group in catalogue.groups(command):
        assert f"{group.name}=" in page
        assert all(option in page for option in catalogue.options(group.name) if belongs(option, group.name, command))
    for key in catalogue.keys(command):
        assert f"{key.name}={key.default}" in page


@pytest.mark.parametrize("command", manual.PAGES)
def test_lines_fit_a_terminal(command: str) -> None:
    prose = manual.page(command).partition("EXAMPLES")[0]
    long = [line for line in prose.splitlines() if len(line) > 100]
    assert not long


def test_overview_names_every_command() -> None:
    for name, page in manual.PAGES.items():
        assert re.search(rf"^  {name} +{re.escape(page.summary)}$", manual.overview(), re.MULTILINE)


@pytest.mark.parametrize(
    "line", [line for page in manual.PAGES.values() for line, _ in page.examples], ids=lambda line: line[:40]
)
def test_examples_are_command_lines(line: str) -> None:
    program, command, *rest = shlex.split(line)
    assert program == "ldmlab"
    assert parse(command, rest).overrides or "--cfg" in rest
