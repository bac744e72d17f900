"""The keys of a config that name files: `~` in them, and what stands there instead of a file. Imports nothing heavy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ldmlab.configs.checks import Checks
from ldmlab.configs.errors import UserError
from ldmlab.configs.suggest import hint
from ldmlab.files import kind_of
from ldmlab.paths import expand_home, experiments_dir

_NAMES = re.compile(
    r"^(pictures|reference)$|(^|[._])(path|ckpt|dir|folder|file|weights|image|mask|prompts|output|tokenizer|urls)$"
)
_WRITTEN = ("output_dir", "output")
_DIFFUSERS = ("model_index.json", "config.json", "diffusion_pytorch_model.safetensors")
RESUMED = ("last", "auto")
"""Checkpoints of the run's own folder."""
_RUN = ("last.ckpt", "model.safetensors")


def expand_paths(config: DictConfig) -> None:
    """Put the user's home in the place of `~` wherever a key names a file, in place.

    Raises:
        UserError: a user who does not exist.
    """
    for key, _ in list(_paths(OmegaConf.to_container(config, resolve=False))):
        value = OmegaConf.select(config, key)
        if isinstance(value, str) and value.startswith("~"):
            OmegaConf.update(config, key, expand_home(value))


def check_files(checks: Checks, values: Mapping[Any, Any]) -> None:
    """Refuse what would never end when it is read, and folders where a checkpoint is wanted.

    Args:
        checks: of the command whose keys these are.
        values: the config, resolved.

    Raises:
        UserError: naming key, value and fix.
    """
    for key, value in _paths(values):
        if isinstance(value, str) and key not in _WRITTEN:
            _check(checks, key, value)


def require_files(checks: Checks, config: DictConfig) -> None:
    """Refuse names of files where nothing is, before PyTorch is imported.

    Args:
        checks: of the command whose config it is.
        config: checked.

    Raises:
        UserError: naming key, value and fix.
    """
    for key, _ in _paths(OmegaConf.to_container(config, resolve=False)):
        value = None if key.startswith("hydra.") else OmegaConf.select(config, key)
        if isinstance(value, str) and not os.path.lexists(expand_home(value)):
            _require_known(checks, key, value)


def _check(checks: Checks, key: str, value: str) -> None:
    path = Path(expand_home(value))
    try:
        kind = kind_of(path)
    except (OSError, ValueError):
        return  # `require_files`, or the command, says best what is wanted where nothing is
    if kind not in (None, "a folder"):
        raise UserError(f"{key}={value}: is {kind}, which may never end; give a file")
    if kind is None and key in checks.writes:
        raise UserError(f"{key}={value}: is a file; give a folder")
    if kind == "a folder" and key.endswith("ckpt") and key not in checks.folders and not _ships(value):
        raise UserError(f"{key}={value}: is a folder; {_instead(path, value)}")


def _require_known(checks: Checks, key: str, value: str) -> None:
    """Where nothing is, only names of our own will do."""
    name = key.rpartition(".")[2]
    if name.endswith("ckpt"):
        if not _ships(value):
            near = hint(value, _shipped())
            raise UserError(f"{key}={value}: no such file; give the path of a checkpoint (.ckpt or .safetensors){near}")
    elif name == "ckpt_path":
        if _ships(value):
            raise UserError(f"{key}={value}: is a model, from which a run begins and does not go on: init_ckpt={value}")
        if value not in RESUMED:
            raise UserError(f"{key}={value}: no such file as {value}; give output_dir= of the run to go on")
    elif key in checks.reads:
        raise UserError(f"{key}={value}: {checks.reads[key]}")


def _shipped() -> list[str]:
    return [f"{path.parents[1].name}/{path.stem}" for path in experiments_dir().glob("*/weights/*.safetensors")]


def _ships(name: str) -> bool:
    """Whether this is the name of a model that comes with ldmlab, whatever folder has that name."""
    study, _, variant = name.rpartition("/")
    return (experiments_dir() / study / "weights" / f"{variant}.safetensors").is_file()


def _instead(folder: Path, value: str) -> str:
    """What to give in the place of a folder."""
    run = next((name for name in _RUN if (folder / name).is_file()), None)
    if run is not None:
        return f"give the checkpoint in it, {Path(value, run)}"
    if any((folder / name).is_file() for name in _DIFFUSERS):
        return f"bring a folder of diffusers into ldmlab's format (ldmlab import {value}), and give the file it writes"
    return "give a checkpoint (.ckpt or .safetensors)"


def _paths(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys that name files, with their values."""
    for name, value in node.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{key}.")
        elif _NAMES.search(key):
            yield key, value
