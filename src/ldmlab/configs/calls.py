"""A command's config for a call from Python: composed and checked as the command line's is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import RLock
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ldmlab.atomic import atomic_file
from ldmlab.configs.checks import Checks
from ldmlab.configs.compose import as_job, validate
from ldmlab.configs.filters import with_expressions
from ldmlab.configs.overrides import name_protocol
from ldmlab.configs.quoting import override
from ldmlab.configs.urls import with_urls
from ldmlab.configs.user_files import expand_paths, require_files

Overrides = Sequence[str] | Mapping[str, Any]
"""Settings beyond a function's own: lines as on the command line, or values by key, as `{"sampler.eta": 1.0}`."""
_ONE_AT_A_TIME = RLock()
"""Hydra's state is that of the process."""


def configured(
    command: str, keys: Mapping[str, Any], overrides: Overrides = (), in_memory: Collection[str] = ()
) -> DictConfig:
    """Compose and check the config of a command.

    Args:
        command: the name of a yaml in conf/ and of a module in configs/commands/.
        keys: values by key or group; those that are None are left to the yaml.
        overrides: more of them, which come after.
        in_memory: keys of files that were given as something else; they count as given, and come out as None.

    Returns:
        The config, without Hydra's own node, but with the name of a protocol; `output_dir` is absolute.

    Raises:
        ValueError: the first thing that is wrong, in the command line's words.
    """
    given = {**keys, **dict.fromkeys(in_memory, "given in Python")}
    lines = [override(key, value) for key, value in given.items() if value is not None]
    checks: Checks = import_module(f"ldmlab.configs.commands.{command}").CHECKS
    with _ONE_AT_A_TIME, _outside_of_hydra():
        whole = validate(command, with_urls(with_expressions([*lines, *as_lines(overrides)])), checks=checks)
        with read_write(whole), open_dict(whole):
            whole.update(dict.fromkeys(in_memory))
        with as_job(whole) as folder:
            require_files(checks, whole)
            expand_paths(whole)
    with read_write(whole), open_dict(whole):
        if "output_dir" in whole:
            whole.output_dir = str(folder)
        name_protocol(whole, whole.hydra.runtime.choices)
        del whole["hydra"]
    return whole


def write_config(cfg: DictConfig, folder: Path) -> None:
    """Write a config where commands write theirs, `.hydra/config.yaml` in the folder of a run."""
    record = folder / ".hydra"
    record.mkdir(parents=True, exist_ok=True)
    with atomic_file(record / "config.yaml") as file:
        file.write(OmegaConf.to_yaml(cfg).encode())


def chosen(keys: Mapping[str, Any], overrides: Overrides = ()) -> list[str]:
    """The keys and groups that a call sets; see `configured`."""
    lines = [override(key, value) for key, value in keys.items() if value is not None]
    return [line.lstrip("+").partition("=")[0] for line in (*lines, *as_lines(overrides))]


def as_lines(overrides: Overrides) -> list[str]:
    """Settings as lines of the command line.

    Raises:
        ValueError: they are neither a list of lines nor values by key.
    """
    if isinstance(overrides, str):
        raise ValueError(f"overrides: is one text; give a list, overrides=[{overrides!r}]")
    if isinstance(overrides, Mapping):
        return [override(key, value) for key, value in overrides.items()]
    if not isinstance(overrides, Sequence) or not all(isinstance(line, str) for line in overrides):
        raise ValueError(f"overrides={overrides}: give lines as ['KEY=VALUE'], or values by key as {{'KEY': VALUE}}")
    return list(overrides)


@contextmanager
def _outside_of_hydra() -> Iterator[None]:
    """Compose from our folders inside a program of the user's that Hydra runs as well, whose state comes back."""
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = outer  # composing has put another instance in its place
