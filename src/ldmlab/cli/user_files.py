"""The keys of a config that name files: `~` in them, and what stands there instead of a file. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ldmlab.cli.errors import UserError
from ldmlab.cli.paths import expand_home, experiments_dir
from ldmlab.files import kind_of

_NAMES = re.compile(r"(^|[._])(path|ckpt|dir|folder|file|weights|image|mask|prompts|output|tokenizer)$")
_WRITTEN = ("output_dir", "output")
_DIFFUSERS = ("model_index.json", "config.json", "diffusion_pytorch_model.safetensors")
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


def check_files(command: str, values: Mapping[Any, Any]) -> None:
    """Refuse what would never end when it is read, and folders where a checkpoint is wanted.

    Args:
        command: of which these are the keys.
        values: the config, resolved.

    Raises:
        UserError: naming key, value and fix.
    """
    for key, value in _paths(values):
        if isinstance(value, str) and key not in _WRITTEN:
            _check(command, key, value)


def _check(command: str, key: str, value: str) -> None:
    path = Path(expand_home(value))
    try:
        kind = kind_of(path)
    except (OSError, ValueError):
        return  # the command says best what is wanted where nothing is
    if kind not in (None, "a folder"):
        raise UserError(f"{key}={value}: is {kind}, which may never end; give a file")
    if kind is None and command == "data" and key == "path":
        raise UserError(f"{key}={value}: is a file; give a folder for the shards")
    if kind == "a folder" and key.rpartition(".")[2].endswith("ckpt") and command != "import" and not _ships(value):
        raise UserError(f"{key}={value}: is a folder; {_instead(path, value)}")


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
