"""Runs a command: its config validated first, then through Hydra, which gives it its folder, log and sweeps."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from keyword import iskeyword
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ldmlab.cli import searchpath
from ldmlab.cli.arguments import Arguments, parse
from ldmlab.cli.errors import explain
from ldmlab.cli.paths import conf_dir
from ldmlab.cli.published import in_published_setting
from ldmlab.cli.validate import validate, validate_sweep


def launch(command: str, argv: Sequence[str]) -> None:
    """Validate, then run.

    Raises:
        UserError: bad input, before anything is imported, built or written.
        Exception: whatever the command raises.
    """
    arguments = parse(command, argv)
    if command == "describe":
        arguments = replace(arguments, overrides=in_published_setting(arguments.overrides))
    check = validate_sweep if arguments.multirun else validate
    check(command, arguments.overrides, not arguments.shows)
    failures: list[Exception] = []

    def job(config: DictConfig) -> None:
        try:
            _run(command, config)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # Hydra goes on with the other jobs, and names those that failed
            _forget_folder(error)
            failures.append(error)  # raised below, so that Hydra does not print its own line

    searchpath.register()
    with _command_line(command, arguments):
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(job)()
    if failures:
        raise failures[0]


def _run(command: str, config: DictConfig) -> None:
    settings = HydraConfig.get()
    if settings.mode == RunMode.MULTIRUN:
        validate(command, [*settings.overrides.hydra, *settings.overrides.task])
    if "output_dir" in config:
        config.output_dir = settings.runtime.output_dir
    module = f"{command}_" if iskeyword(command) else command
    import_module(f"ldmlab.cli.{module}").run(config)


@contextmanager
def _command_line(command: str, arguments: Arguments) -> Iterator[None]:
    """Hydra reads sys.argv, and raises errors rather than printing them where it is told so."""
    argv, environment = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = ["ldmlab", *arguments.flags, f"hydra.job.name={command}", *arguments.overrides]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if environment is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = environment


def _forget_folder(error: Exception) -> None:
    """Take away the folder of a run that bad input ended before it wrote anything of its own."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    if explain(error) is None or settings.output_subdir is None:
        return
    ours = {settings.output_subdir, f"{settings.job.name}.log"}
    if folder.is_dir() and {entry.name for entry in folder.iterdir()} <= ours:
        _stop_logging_to(folder)
        shutil.rmtree(folder)


def _stop_logging_to(folder: Path) -> None:
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).parent == folder.resolve():
            logging.getLogger().removeHandler(handler)
            handler.close()
