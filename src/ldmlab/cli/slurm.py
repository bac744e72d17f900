"""What a command does otherwise in a job of SLURM, which may be sent back to the queue and begin again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection

from ldmlab.cli.arguments import Arguments
from ldmlab.cli.command import Command
from ldmlab.configs import catalogue
from ldmlab.ranks import slurm_job


def in_slurm(name: str, command: Command, arguments: Arguments) -> list[str]:
    """Overrides for a command in a job of SLURM: a folder that a requeued job, and all of its tasks, find again.

    Args:
        name: of the command.
        command: itself.
        arguments: what the user gave, which stays.

    Returns:
        None of them outside of SLURM, or where Hydra only shows something.
    """
    job = slurm_job()
    if job is None or arguments.shows or arguments.parsed.experimental_rerun is not None:
        return []
    given = {word.lstrip("+").partition("=")[0] for word in arguments.overrides}
    lines = []
    if "output_dir" in {key.name for key in catalogue.keys(name)} and not _names_folder(given):
        lines.append(f"output_dir=runs/{name}/slurm-{job}-{_digest(arguments)}")
    if lines or os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
        lines += [line for line in command.when_requeued if line.partition("=")[0] not in given]
    return lines


def _names_folder(given: Collection[str]) -> bool:
    return not {"output_dir", "hydra.run.dir", "hydra.sweep.dir"}.isdisjoint(given)


def _digest(arguments: Arguments) -> str:
    """Tells the commands of one job apart."""
    words = "\0".join([*arguments.flags, *arguments.overrides])
    return hashlib.sha256(words.encode()).hexdigest()[:6]
