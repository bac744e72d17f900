"""Runs a command through `hydra.main`, which composes its config and gives it its folder, log and sweeps."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig

from ldmlab import lean_imports
from ldmlab.cli.arguments import Arguments, parse
from ldmlab.cli.command import find
from ldmlab.cli.refusal import Refusal
from ldmlab.cli.run import Run
from ldmlab.cli.slurm import in_slurm
from ldmlab.configs.bounds import bounded
from ldmlab.configs.compose import validate
from ldmlab.configs.hydra_errors import COMPOSING, in_one_line, opened
from ldmlab.configs.sources import bound_files
from ldmlab.paths import conf_dir


def launch(name: str, argv: Sequence[str]) -> None:
    """Compose, check, run.

    Raises:
        UserError: bad input, before anything is imported, built or written.
        Exception: whatever the command raises.
    """
    arguments = parse(name, argv)
    lean_imports.install()  # before a component is asked what it takes
    if arguments.shows:
        validate(name, arguments.searched, complete=False)
    run = Run(name, find(name), is_rerun=arguments.parsed.experimental_rerun is not None)
    with run.listening():
        try:
            _launch(name, arguments, run)
        except Exception as error:
            run.end_sweep(error)
            raise
        run.end_sweep()


def _launch(name: str, arguments: Arguments, run: Run) -> None:
    """Let Hydra run the command, again with an open section's key added that it does not find there."""
    lines = [*arguments.overrides, *in_slurm(name, run.command, arguments)]
    while True:
        try:
            return through_hydra(name, [*arguments.flags, *_named(name, arguments), *lines], run.job)
        except (Refusal, *COMPOSING) as raised:
            error = raised.error if isinstance(raised, Refusal) else raised
        is_of_hydra = isinstance(error, HydraException if run.began else COMPOSING)
        if not is_of_hydra or isinstance(error, InstantiationException):  # which stands before a component's own
            raise error
        more = None if run.began else opened(error, lines)
        if more is None:
            raise in_one_line(error, name, arguments.overrides) from error
        lines = more


def through_hydra(name: str, words: Sequence[str], run: Callable[[DictConfig], Any] | None = None) -> None:
    """Give a command line, without the command, to Hydra."""

    def job(config: DictConfig) -> Any:
        return None if run is None else run(config)

    bound_files()
    with bounded(), _command_line(words):
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=name)(job)()


def _named(name: str, arguments: Arguments) -> list[str]:
    """The job is called after the command; a rerun has its name already, and takes no overrides."""
    return [] if arguments.parsed.experimental_rerun is not None else [f"hydra.job.name={name}"]


@contextmanager
def _command_line(words: Sequence[str]) -> Iterator[None]:
    """Hydra reads sys.argv, and raises errors rather than printing them where it is told so."""
    argv, environment = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = ["ldmlab", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if environment is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = environment
