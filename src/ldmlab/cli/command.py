"""What the command line knows of a command, and how commands are found: `cli/commands/NAME.py` and `conf/NAME.yaml`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.configs.checks import Checks
from ldmlab.configs.errors import UserError
from ldmlab.configs.suggest import hint

if TYPE_CHECKING:
    from omegaconf import DictConfig

FOLDER = Path(__file__).parent / "commands"


@dataclass(frozen=True)
class Words:
    """What becomes of the words of a command line that hold no `=`.

    Attributes:
        key: the key that takes them.
        kind: what one of them is, for errors.
        several: they are a list; otherwise there is one.
    """

    key: str
    kind: str
    several: bool


@dataclass(frozen=True, kw_only=True)
class Command(Checks):
    """A command: the `COMMAND` of its module, beside which there is nothing but a yaml in conf/.

    Attributes:
        run: gets the composed and checked config; imports what is heavy when it is called, and may return the figure
            that a sweeper looks at.
        summary: a line of the overview.
        synopsis: the form of its command line.
        description: paragraphs of its page.
        examples: command lines, each with what it does.
        switches: flags without a value, each with the key that it sets to true.
        words: what words without `=` become; None where there are none.
        resumes: it looks itself at what is in its folder, and goes on from there.
        free: keys that may differ where a run goes on in a folder of its own.
        devices: the key that says on how many devices it runs, beside that of the hosts; None where it is always one.
        hands_on: its key `command` takes another command, and all words that follow the name of that one.
        when_requeued: overrides that let it go on in a folder that the scheduler has sent it back to.
    """

    run: Callable[[DictConfig], float | None]
    summary: str
    synopsis: str
    description: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    switches: tuple[str, ...] = ()
    words: Words | None = None
    resumes: bool = False
    free: tuple[str, ...] = ("output_dir", "batch_size", "compile", "devices", "num_nodes")
    devices: str | None = None
    hands_on: bool = False
    when_requeued: tuple[str, ...] = ()


@cache
def names() -> tuple[str, ...]:
    """The commands, in the order of the alphabet."""
    return tuple(sorted(path.stem.rstrip("_") for path in FOLDER.glob("[!_]*.py")))


def find(name: str) -> Command:
    """A command by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in names():
        what = "flag" if name.startswith("-") else "command"
        raise UserError(f"unknown {what} '{name}'{hint(name, [*names(), '--help', '--version'])}")
    module = import_module(f"ldmlab.cli.commands.{name}{'_' if iskeyword(name) else ''}")
    command: Command = module.COMMAND
    return command
