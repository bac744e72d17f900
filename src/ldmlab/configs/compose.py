"""Composes a command's config in a program, as the command line does, and checks it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from ldmlab.configs.bounds import bounded
from ldmlab.configs.checks import Checks
from ldmlab.configs.errors import UserError, one_line
from ldmlab.configs.hydra_errors import COMPOSING, in_one_line, opened
from ldmlab.configs.sources import bound_files
from ldmlab.configs.validate import check, tell_fallen
from ldmlab.paths import conf_dir, expand_home

NO_CHECKS = Checks()


def validate(command: str, overrides: Sequence[str], complete: bool = True, checks: Checks = NO_CHECKS) -> DictConfig:
    """Compose a command's config and check it.

    Args:
        command: the name of a yaml in conf/.
        overrides: Hydra's, without sweeps.
        complete: also refuse values that are missing or out of range.
        checks: what the command asks beyond its yaml.

    Returns:
        The config, with Hydra's own node, in which the folder of the run is `hydra.runtime.output_dir`.

    Raises:
        UserError: the first thing that is wrong.
    """
    with bounded(), hydra_at_conf(command):
        config = composed(command, overrides)
        with as_job(config):
            tell_fallen(check(command, config, checks, GlobalHydra.instance().config_loader(), complete))
    return config


def composed(command: str, overrides: Sequence[str], sweeps: bool = False) -> DictConfig:
    """Compose, inside `hydra_at_conf`.

    Args:
        command: the name of a yaml in conf/.
        overrides: Hydra's.
        sweeps: they may give several values, for which the config has what its jobs have in common.

    Raises:
        UserError: Hydra could not.
    """
    lines = list(overrides)
    while True:
        try:
            return _in_common(command, lines) if sweeps else compose(command, lines, return_hydra_config=True)
        except COMPOSING as error:
            more = opened(error, lines)
            if more is None:
                raise in_one_line(error, command, overrides) from error
            lines = more


def _in_common(command: str, lines: list[str]) -> DictConfig:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return hydra.compose_config(command, lines, run_mode=RunMode.MULTIRUN, with_log_configuration=False)


@contextmanager
def hydra_at_conf(command: str) -> Iterator[None]:
    """Let Hydra compose from conf/ inside the block; a job of a sweep is inside Hydra already."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    bound_files()
    with initialize_config_dir(str(conf_dir()), job_name=command, version_base="1.3"):
        yield


@contextmanager
def as_job(config: DictConfig, number: int | None = None) -> Iterator[Path]:
    """Let references to what Hydra knows of a job (`${hydra:job.num}`) resolve inside the block; give its folder.

    Args:
        config: with Hydra's own node.
        number: of the job in a sweep; None for a single run.

    Raises:
        UserError: the folder cannot be named.
    """
    settings = HydraConfig.instance()
    outer = settings.cfg
    try:
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.job.update(num=number or 0, id=str(number or 0))
            settings.set_config(config)
            folder = _folder(config, number is not None)
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.runtime.output_dir = str(folder)
        settings.set_config(config)
        yield folder
    finally:
        settings.cfg = outer


def _folder(config: DictConfig, in_sweep: bool) -> Path:
    keys = ("hydra.sweep.dir", "hydra.sweep.subdir") if in_sweep else ("hydra.run.dir",)
    try:
        parts = [str(OmegaConf.select(config, key, throw_on_missing=True)) for key in keys]
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {one_line(str(error).splitlines()[0])}") from error
    return Path(os.path.abspath(expand_home(os.path.join(*parts))))
