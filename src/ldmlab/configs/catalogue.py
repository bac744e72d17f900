"""What conf/ and experiments/ offer, read from the files themselves without Hydra, so that help is quick and true."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ldmlab.paths import conf_dir, experiments_dir

_KEY_LINE = re.compile(r"^(?P<name>\w+):(?:\s+(?P<default>[^#\s].*?))?(?:\s+# (?P<meaning>.*))?$")

_FOR_COMMAND = re.compile(r"^# For `ldmlab (?P<command>\w+)`")


@dataclass(frozen=True)
class Key:
    """A key of a command itself, as written in its yaml: the comment at the end of the line is its meaning.

    `where` names the choices that bring it in, or is empty.
    """

    name: str
    default: str
    meaning: str
    where: str = ""


@dataclass(frozen=True)
class Group:
    """A config group that a command composes. `where` names the choices that bring it in, or is empty."""

    name: str
    default: str | None
    where: str


def keys(command: str) -> list[Key]:
    """The keys of a command that belong to no group: those of its yaml, then those that an option adds to them."""
    files = [conf_dir() / f"{name}.yaml" for name in (command, *_bases(command))]
    found = {key.name: key for path in files for key in _keys_in(path, sections=True)}
    for group, _ in _defaults(conf_dir() / f"{command}.yaml"):
        for option in options(group) if group != "experiment" else []:
            for key in _keys_in(_path(group, option)) if is_global(group, option) else ():
                known = found.setdefault(key.name, replace(key, where=f"{group}={option}"))
                if known.where:
                    found[key.name] = replace(known, where=_with(known.where, f"{group}={option}"))
    return list(found.values())


def groups(command: str) -> list[Group]:
    """The groups that a command composes, with those that a choice in one of them brings in."""
    found: dict[str, Group] = {}
    for name, default in _defaults(conf_dir() / f"{command}.yaml"):
        found[name] = Group(name, default, "")
        for option in options(name) if name != "experiment" else []:
            for inner, choice in _defaults(conf_dir() / name / f"{option}.yaml"):
                known = found.setdefault(inner, Group(inner, choice, f"{name}={option}"))
                if known.where:  # otherwise the command has it always, and this option only chooses in it
                    found[inner] = replace(known, where=_with(known.where, f"{name}={option}"))
    return list(found.values())


def _with(where: str, choice: str) -> str:
    return ", ".join(dict.fromkeys([*where.split(", "), choice]))


def options(group: str) -> list[str]:
    """The options of a group: its yaml files, those in subfolders as `folder/name`."""
    folder = experiments_dir() if group == "experiment" else conf_dir() / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def summary(group: str, option: str) -> str:
    """What the opening comment of an option says of it, or nothing."""
    lines = _path(group, option).read_text().splitlines()
    comments = (line.removeprefix("# ") for line in lines if line.startswith("# ") and not line.startswith("# @"))
    return next(comments, "")


def is_global(group: str, option: str) -> bool:
    """Whether the keys of an option are the command's own."""
    return _path(group, option).read_text().startswith("# @package _global_")


def option_keys(group: str, option: str) -> list[Key]:
    """The keys of an option, with those of the options that it is built on; sections by their dotted names."""
    path = _path(group, option)
    found: dict[str, Key] = {}
    for entry in _defaults_list(path):
        if isinstance(entry, str) and entry != "_self_" and not entry.startswith("/"):
            base, _, package = entry.partition("@")
            inside = f"{package}." if package else ""
            own = [replace(key, name=f"{inside}{key.name}") for key in option_keys(group, base)]
            found |= {key.name: key for key in own}
    content = _content(path)
    meanings = {key.name: key.meaning for key in _keys_in(path)}
    for name, value in _flat({key: value for key, value in content.items() if key != "defaults"}):
        earlier = found[name].meaning if name in found else ""
        found[name] = Key(name, _written(value), meanings.get(name) or earlier)
    return list(found.values())


def command_of(experiment: str) -> str:
    """The command that an experiment is for: `train`, unless its opening comment says "For `ldmlab COMMAND`"."""
    opening = (experiments_dir() / f"{experiment}.yaml").read_text().split("\n", 2)[:2]
    said = next(filter(None, (_FOR_COMMAND.match(line) for line in opening)), None)
    return "train" if said is None else said["command"]


def all_groups() -> list[str]:
    """Every group in conf/, and `experiment`."""
    folders = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    return sorted(folders - {"hydra"} | {"experiment"})


def _keys_in(path: Path, sections: bool = False) -> Iterator[Key]:
    """The keys of a file that hold a value, or a list that starts on the next line; in sections, too, if asked."""
    lines = path.read_text().splitlines()
    section = ""
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        match = _KEY_LINE.match(line.removeprefix("  ") if section else line)
        is_list = following.lstrip().startswith("- ")
        if match and match["name"] != "defaults" and (match["default"] or is_list):
            inside = section if line.startswith("  ") else ""
            yield Key(f"{inside}{match['name']}", match["default"] or "[...]", match["meaning"] or "")
        elif sections and match and not match["default"] and not is_list:
            section = f"{match['name']}."


def _bases(command: str) -> list[str]:
    """The commands whose config this one is built on."""
    entries = _defaults_list(conf_dir() / f"{command}.yaml")
    return [entry for entry in entries if isinstance(entry, str) and entry != "_self_"]


def _defaults(path: Path) -> Iterator[tuple[str, str | None]]:
    """The (group, option) pairs of a file's defaults list and of its bases', without Hydra's own groups."""
    for entry in _defaults_list(path):
        if isinstance(entry, str) and entry != "_self_":
            yield from _defaults(path.with_name(f"{entry.partition('@')[0]}.yaml"))
        for name, choice in entry.items() if isinstance(entry, dict) else ():
            group = name.removeprefix("override ").partition("@")[0].lstrip("/")
            if not group.startswith("hydra/"):
                yield group, choice


def _defaults_list(path: Path) -> list[Any]:
    return list(_content(path).get("defaults", []))


@cache
def _content(path: Path) -> dict[str, Any]:
    import yaml

    content: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    return content


def _flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif name != "_partial_":
            yield f"{prefix}{name}", value


def _written(value: Any) -> str:
    """A value as it stands in a yaml and on a command line."""
    return value if isinstance(value, str) else json.dumps(value)


def _path(group: str, option: str) -> Path:
    folder = experiments_dir() if group == "experiment" else conf_dir() / group
    return folder / f"{option}.yaml"
