from __future__ import annotations

import re
import shlex

import pytest

from ldmlab.cli import manual
from ldmlab.cli.arguments import parse
from ldmlab.cli.command import find, names
from ldmlab.configs import catalogue
from ldmlab.configs.errors import UserError


def belongs(option: str, group: str, command: str) -> bool:
    """Whether an option is listed: all but the experiments of other commands."""
    own = "train" if command == "describe" else command
    return group != "experiment" or catalogue.command_of(option) == own


@pytest.mark.parametrize("command", names())
def test_page_has_every_section_and_option(command: str) -> None:
    page = manual.page(command)
    for title in ("NAME", "SYNOPSIS", "DESCRIPTION", "KEYS", "FLAGS", "EXAMPLES", "EXIT STATUS"):
        assert re.search(f"^{title}$", page, re.MULTILINE)
    assert bool(re.search("^GROUPS$", page, re.MULTILINE)) == bool(catalogue.groups(command))
    for group in catalogue.groups(command):
        assert f"{group.name}=" in page
        assert all(option in page for option in catalogue.options(group.name) if belongs(option, group.name, command))
    for key in catalogue.keys(command):
        assert f"{key.name}={key.default}" in page


@pytest.mark.parametrize("command", names())
def test_lines_fit_a_terminal(command: str) -> None:
    prose = manual.page(command).partition("EXAMPLES")[0]
    long = [line for line in prose.splitlines() if len(line) > 100]
    assert not long


def test_overview_names_every_command() -> None:
    for name, page in ((name, find(name)) for name in names()):
        assert re.search(rf"^  {name} +{re.escape(page.summary)}$", manual.overview(), re.MULTILINE)


@pytest.mark.parametrize(
    "line", [line for page in map(find, names()) for line, _ in page.examples], ids=lambda line: line[:40]
)
def test_examples_are_command_lines(line: str) -> None:
    program, command, *rest = shlex.split(line)
    assert program == "ldmlab"
    assert parse(command, rest).overrides or "--cfg" in rest


@pytest.mark.parametrize(("command", "group"), [("train", "backbone"), ("train", "experiment"), ("edit", "method")])
def test_the_page_of_a_group_lists_its_options(command: str, group: str) -> None:
    listed = manual.topic(command, group)
    for option in (each for each in catalogue.options(group) if belongs(each, group, command)):
        assert f"{group}={option}" in listed


@pytest.mark.parametrize("group", catalogue.all_groups())
def test_every_option_says_what_it_is(group: str) -> None:
    for option in catalogue.options(group):
        assert catalogue.summary(group, option).endswith((".", ":")), option
        assert all(key.name for key in catalogue.option_keys(group, option))


def test_the_page_of_an_option_has_the_keys_it_inherits() -> None:
    page = manual.topic("train", "backbone=dit_b_4")
    for line in ("backbone.patch=4", "backbone.width=768", "backbone.mlp_ratio=4.0"):
        assert line in page
    assert "method.resample=5 " in manual.topic("edit", "method=inpaint")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bakbone", "did you mean 'backbone'"),
        ("backbone=dti", "did you mean 'dit'"),
        ("dataset", "has no group 'dataset'"),
    ],
)
def test_a_topic_that_is_none(name: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        manual.topic("train", name)
