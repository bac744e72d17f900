"""Completion in shells: the names of commands are ours, and what follows one is Hydra's."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from ldmlab.cli.command import names
from ldmlab.configs import catalogue

FLAGS = ("-sc", "--shell-completion")
WORDS = (*FLAGS, "--hydra-help")
"""What may stand in the place of a command."""


def complete(argv: Sequence[str]) -> None:
    """Answer a shell: `-sc install=SHELL`, `-sc uninstall=SHELL`, and `-sc query=SHELL` for the line in COMP_LINE."""
    if not any(word.startswith("query=") for word in argv):
        _ask(names()[0], argv)
        return
    _, *words = os.environ.get("COMP_LINE", "").split(" ")
    words = [word for word in words[:-1] if word] + words[-1:]
    if len(words) < 2:
        print(
            " ".join(name for name in (*names(), "--help", "--version") if name.startswith(words[0] if words else ""))
        )
    elif words[0] in names():
        print(" ".join(_answers(words[0], words[1:], argv)))


def _answers(command: str, words: Sequence[str], argv: Sequence[str]) -> Iterator[str]:
    """What Hydra would complete the last word to, without groups that the command does not have."""
    overrides = [word for word in words[:-1] if "=" in word or word[:1] in "+~-"]
    given = {"COMP_LINE": " ".join(["ldmlab", *overrides, words[-1]])}
    with _environment(given), redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
        try:
            _ask(command, argv)
        except (Exception, SystemExit):
            return  # a line that cannot be composed has no completion
    foreign = {*catalogue.all_groups()} - {group.name for group in catalogue.groups(command)}
    for answer in out.getvalue().split():
        if answer.lstrip("+~").partition("=")[0].partition("/")[0] not in foreign:
            yield answer


def _ask(command: str, argv: Sequence[str]) -> None:
    from ldmlab.cli.launch import through_hydra

    through_hydra(command, argv)


@contextmanager
def _environment(given: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
