"""Runs a command: its config validated first, then through Hydra, which gives it its folder, log and sweeps."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ldmlab import lean_imports
from ldmlab.cli.arguments import Arguments, parse, quoted
from ldmlab.cli.command import find
from ldmlab.cli.errors import explain
from ldmlab.cli.published import in_published_setting
from ldmlab.cli.reuse import require_own
from ldmlab.cli.run_folder import RunFolder
from ldmlab.configs import searchpath
from ldmlab.configs.compose import as_job, hydra_at_conf
from ldmlab.configs.user_files import expand_paths, require_files
from ldmlab.configs.validate import drop_fallen, validate, validate_sweep
from ldmlab.data.folder_lock import folder_lock
from ldmlab.paths import conf_dir, expand_home
from ldmlab.training.signals import STOP


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
    checks = find(command)
    config = check(command, arguments.overrides, not arguments.shows, checks=checks)
    searchpath.register()
    if arguments.shows:
        _through_hydra(command, arguments, lambda config: None)
    else:
        with as_job(config, 0 if arguments.multirun else None):
            require_files(checks, config)
        _launch(command, arguments, config)


def _launch(command: str, arguments: Arguments, config: DictConfig) -> None:
    """Let Hydra run the command, in a folder that is made, and taken back, by us."""
    record = config.hydra.output_subdir
    log = f"{config.hydra.job.name}.log"
    folder: RunFolder | None = None
    failures: list[Exception] = []

    def job(config: DictConfig) -> None:
        settings = HydraConfig.get()
        if settings.mode == RunMode.MULTIRUN:
            # Hydra goes on with the other jobs, and names those that failed.
            _run_in_sweep(command, config, record, log)
            return
        try:
            _run(command, config, folder)
        except Exception as error:
            failures.append(error)  # raised below, so that Hydra does not print its own line

    place = [] if record is None else ["hydra.output_subdir=null"]
    if arguments.multirun:
        place += _sweep_folder(config, record, log)
    elif record is not None:
        claim = RunFolder.claim_new if _is_named_by_time(config, "run") else RunFolder.claim
        folder = claim(Path(config.hydra.runtime.output_dir), record, log)
        place.append(f"hydra.run.dir={quoted(str(folder.path))}")
    try:
        if arguments.multirun or arguments.flags:
            _through_hydra(command, replace(arguments, overrides=[*arguments.overrides, *place]), job)
        else:
            _through_hydras_job(command, config, folder, job)
        if failures:
            raise failures[0]
    except BaseException as error:
        if folder is not None and (not isinstance(error, Exception) or explain(error) is not None):
            folder.take_back()
        raise


def _sweep_folder(config: DictConfig, record: str | None, log: str) -> list[str]:
    """The folder of a sweep, where Hydra would take a `~` by its letter, or take the folder of another sweep."""
    with as_job(config, 0):
        given = str(config.hydra.sweep.dir)
    folder = expand_home(given)
    if _is_named_by_time(config, "sweep"):
        folder = str(RunFolder.claim_new(Path(folder).absolute(), record or "", log).path)
    return [] if folder == given else [f"hydra.sweep.dir={quoted(folder)}"]


def _is_named_by_time(config: DictConfig, mode: str) -> bool:
    """Whether the folder of a "run" or "sweep" is called after the second in which it begins, as others may be."""
    raw: Any = OmegaConf.to_container(config, resolve=False)
    return "${now:" in str(raw["hydra"][mode]["dir"]).replace("${output_dir}", str(raw.get("output_dir")))


def _through_hydra(command: str, arguments: Arguments, job: Callable[[DictConfig], None]) -> None:
    with _command_line(command, arguments):
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(job)()


def _through_hydras_job(
    command: str, config: DictConfig, folder: RunFolder | None, job: Callable[[DictConfig], None]
) -> None:
    """What `hydra.main` does once it has composed a config; this one is composed, and doing so takes a while."""
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.mode = RunMode.RUN
        config.hydra.output_subdir = None
        if folder is not None:
            config.hydra.run.dir = str(folder.path)
    with hydra_at_conf(command):
        callbacks = Callbacks(config)
        callbacks.on_run_start(config=config, config_name=command)
        context = HydraContext(GlobalHydra.instance().config_loader(), callbacks)
        done = run_job(job, config, "hydra.run.dir", None, context)
        callbacks.on_run_end(config=config, config_name=command, job_return=done)
        _ = done.return_value  # raises what a callback made of the job


def _run_in_sweep(command: str, config: DictConfig, record: str | None, log: str) -> None:
    """A job, whose folder Hydra has made. It stays, as part of the sweep; an earlier record comes back."""
    settings = HydraConfig.get()
    overrides = [*_lines(settings.overrides.hydra), *_lines(settings.overrides.task)]
    drop_fallen(config, validate(command, overrides, number=settings.job.num, checks=find(command)))
    folder = None if record is None else RunFolder.claim(Path(settings.runtime.output_dir), record, log)
    try:
        _run(command, config, folder)
    except Exception as error:
        if folder is not None and folder.replaces and explain(error) is not None:
            folder.take_back()
        raise


def _lines(overrides: Any) -> list[str]:
    """Overrides as they were written: references in them are not to be filled in and read again."""
    lines = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(lines, list)
    return [str(line) for line in lines]


def _run(command: str, config: DictConfig, folder: RunFolder | None) -> None:
    settings = HydraConfig.get()
    if "output_dir" in config:
        config.output_dir = settings.runtime.output_dir
    expand_paths(config)
    with _alone(command, config, folder):
        if folder is not None:
            hydras_own = HydraConfig.instance().cfg
            texts = [OmegaConf.to_yaml(each) for each in (config, hydras_own, settings.overrides.task)]
            require_own(folder, settings.job.name, texts[0], find(command))
            folder.write_record(*texts)
        lean_imports.install()
        find(command).run(config)


@contextmanager
def _alone(command: str, config: DictConfig, folder: RunFolder | None) -> Iterator[None]:
    """A run has its folder to itself; one that trains ends well where a signal asks for it."""
    resumes = find(command).resumes
    if folder is None and not resumes:
        yield
        return
    with STOP.heeded() if resumes else nullcontext(), folder_lock(Path(config.output_dir), "output_dir"):
        yield


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
