"""Words of a command line that are about the queue of SLURM."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ldmlab.cli.command import names
from ldmlab.configs.errors import UserError
from ldmlab.configs.suggest import hint

LAUNCHER = "hydra/launcher=slurm"
_OF_THE_QUEUE = re.compile(r"(cluster[.=]|at_once=|array=|--array$)")


def split(own: str, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the words of a command that hands others on from those of the command that it hands on.

    Args:
        own: name of the first command.
        argv: its words. Those about the queue are its own wherever they stand.

    Raises:
        UserError: no command follows.
    """
    known = [name for name in names() if name != own]
    place = next((number for number, word in enumerate(argv) if word in known), None)
    if place is None:
        word = next((word for word in argv if not re.match(r"[-+~]|[^\s=]+=", word)), None)
        if word is not None:
            raise UserError(f"unknown command '{word}'{hint(word, known)}")
        if not any(word.startswith("--") and word != "--array" for word in argv):  # Hydra may only show something
            raise UserError(f"which command? write it behind, as in `ldmlab {own} train experiment=shapes/dit`")
        return list(argv), []
    later = argv[place + 1 :]
    mine = [word for word in later if _OF_THE_QUEUE.match(word)]
    return [*argv[:place], *mine], [argv[place], *(word for word in later if not _OF_THE_QUEUE.match(word))]


def for_launcher(overrides: Sequence[str]) -> list[str]:
    """With the launcher that queues jobs, `cluster=NAME` and its keys are the launcher's."""
    if LAUNCHER not in overrides:
        return list(overrides)
    return [_of_launcher(line) for line in overrides]


def _of_launcher(line: str) -> str:
    if line.startswith("cluster="):
        return f"cluster@hydra.launcher.{line}"
    if line.startswith("cluster.more."):  # which takes any key
        return f"++hydra.launcher.{line}"
    return f"hydra.launcher.{line}" if line.startswith(("cluster.", "at_once=")) else line
