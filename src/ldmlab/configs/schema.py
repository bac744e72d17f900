"""The keys that a config may have, with their defaults: those of the yaml files that it was composed from.

Experiments, protocols, the command line, and groups that it adds are left out: they set keys, and have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ldmlab.configs.yaml_files import SETTERS, YamlFile, read

EXPERIMENT = "experiment"
GLOBAL = "_global_"


@dataclass(frozen=True)
class Sources:
    """The folders in which a config was looked for, in their order."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, config: DictConfig) -> Sources:
        """Read from a composed config, with Hydra's own node, where it was looked for."""
        found = []
        for source in config.hydra.runtime.config_sources:
            if source.schema == "file":
                found.append(Path(source.path))
            elif source.schema == "pkg" and source.path != "hydra.conf":
                found.append(Path(str(files(source.path))))
        return cls(tuple(found))

    def find(self, name: str) -> YamlFile | None:
        """The first file of a name, as `sampler/ddim`."""
        paths = (folder / f"{name}.yaml" for folder in self.folders)
        return next((read(path) for path in paths if path.is_file()), None)


def schema(command: str, primary: str, choices: Mapping[str, Any], sources: Sources) -> dict[str, Any]:
    """The keys of a command with these options, nested, each with its default as it is written.

    Args:
        command: the name of a yaml.
        primary: the yaml that was composed, which may be one of the user's that is built on the command's.
        choices: the option of each group, or a list of them, by group or GROUP@PACKAGE.
        sources: where the yaml files are.
    """
    keys: dict[str, Any] = {}
    for content, package in _primary(command, primary, sources):
        _merge(keys, _placed(content, package))
    for group, chosen in choices.items():
        folder, _, package = group.partition("@")
        if folder in SETTERS or folder.startswith("hydra/"):
            continue
        for option in chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else [chosen]:
            for content, place in _with_bases(f"{folder}/{option}", package, sources):
                _merge(keys, _placed(content, place))
    return keys


def several(primary: str, experiment: str | None, choices: Mapping[str, Any], sources: Sources) -> dict[str, list[str]]:
    """The groups of which a yaml chooses several options, which Hydra does not list among the choices.

    Args:
        primary: the yaml that was composed.
        experiment: that is chosen, whose list comes in the place of another.
        choices: what Hydra does list.
        sources: where the yaml files are.
    """
    options = [f"{group.partition('@')[0]}/{option}" for group, option in choices.items()]
    found: dict[str, list[str]] = {}
    for name in (primary, *options, f"{EXPERIMENT}/{experiment}"):
        for file in _chain(name, sources):
            found |= {group: list(option) for group, option in file.choices if isinstance(option, list)}
    return {group: options for group, options in found.items() if group not in choices}


def _chain(name: str, sources: Sources) -> Iterator[YamlFile]:
    """A file after those that it is built on."""
    file, folder = sources.find(name), name.rpartition("/")[0]
    for base, _ in () if file is None else file.bases:
        yield from _chain(base.lstrip("/") if base.startswith("/") or not folder else f"{folder}/{base}", sources)
    if file is not None:
        yield file


def _primary(command: str, primary: str, sources: Sources) -> list[tuple[Mapping[str, Any], str]]:
    """The command's own yaml and those that it is built on; without the user's that are built on it."""
    built = list(_with_bases(primary, GLOBAL, sources))
    own = list(_with_bases(command, GLOBAL, sources))
    return own if own and own[-1] in built else built


def _with_bases(name: str, package: str, sources: Sources) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The keys of a file after those of the files that it is built on, each with its place."""
    file, folder = sources.find(name), name.rpartition("/")[0]
    if file is None:
        return
    own = package or file.package or folder.replace("/", ".") or GLOBAL
    for base, inside in file.bases:
        inner = base.lstrip("/") if base.startswith("/") or not folder else f"{folder}/{base}"
        yield from _with_bases(inner, ".".join(filter(None, (package or own, inside))) if inside else package, sources)
    yield file.content, own


def _placed(content: Mapping[str, Any], package: str) -> dict[str, Any]:
    placed = dict(content)
    for part in reversed(package.split(".") if package != GLOBAL else []):
        placed = {part: placed}
    return placed


def _merge(keys: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Take in more keys; a section is merged into a section."""
    for name, value in more.items():
        if isinstance(value, Mapping):
            section = keys.get(str(name))
            keys[str(name)] = section if isinstance(section, dict) else {}
            _merge(keys[str(name)], value)
        else:
            keys[str(name)] = value
