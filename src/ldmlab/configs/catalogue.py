"""What conf/ offers, read from the files themselves without Hydra, so that help is quick and true."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ldmlab.configs.yaml_files import SETTERS, read
from ldmlab.paths import conf_dir

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
    own = conf_dir() / f"{command}.yaml"
    files = [own, *(conf_dir() / f"{name}.yaml" for name, _ in read(own).bases)]
    found = {key.name: key for path in files for key in _keys_in(path, sections=True)}
    for group, _ in _defaults(conf_dir() / f"{command}.yaml"):
        for option in options(group) if group not in SETTERS else []:
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
        for option in options(name) if name not in SETTERS else []:
            for inner, choice in _defaults(conf_dir() / name / f"{option}.yaml"):
                known = found.setdefault(inner, Group(inner, choice, f"{name}={option}"))
                if known.where:  # otherwise the command has it always, and this option only chooses in it
                    found[inner] = replace(known, where=_with(known.where, f"{name}={option}"))
    return list(found.values())


def place(group: Group) -> str:
    """How a group is called on the command line: GROUP@PACKAGE where the choice that brings it in holds it inside."""
    for choice in filter(None, group.where.split(", ")):
        outer, _, option = choice.partition("=")
        for name, _ in read(_path(outer, option)).choices:
            inner, _, package = name.partition("@")
            if inner == group.name and package and not package.startswith("_"):
                return f"{inner}@{outer}.{package}"
    return group.name


def _with(where: str, choice: str) -> str:
    return ", ".join(dict.fromkeys([*where.split(", "), choice]))


def options(group: str) -> list[str]:
    """The options of a group: its yaml files, those in subfolders as `folder/name`."""
    folder = conf_dir() / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def summary(group: str, option: str) -> str:
    """What the opening comment of an option says of it, or nothing."""
    lines = _path(group, option).read_text().splitlines()
    comments = (line.removeprefix("# ") for line in lines if line.startswith("# ") and not line.startswith("# @"))
    return next(comments, "")


def is_global(group: str, option: str) -> bool:
    """Whether the keys of an option are the command's own."""
    return read(_path(group, option)).package == "_global_"


def option_keys(group: str, option: str) -> list[Key]:
    """The keys of an option, with those of the options that it is built on; sections by their dotted names."""
    path = _path(group, option)
    found: dict[str, Key] = {}
    for base, package in read(path).bases:
        of_group, _, name = base[1:].rpartition("/") if base.startswith("/") else (group, "", base)
        inside = f"{package}." if package else ""
        own = [replace(key, name=f"{inside}{key.name}") for key in option_keys(of_group, name)]
        found |= {key.name: key for key in own}
    meanings = {key.name: key.meaning for key in _keys_in(path, sections=True)}
    for name, value in _flat(read(path).content):
        earlier = found[name].meaning if name in found else ""
        found[name] = Key(name, _written(value), meanings.get(name) or earlier)
    return list(found.values())


def experiments(command: str) -> list[str]:
    """The experiments for a command, or for one that its config is built on."""
    own = {command, *(base for base, _ in read(conf_dir() / f"{command}.yaml").bases)}
    return [name for name in options("experiment") if command_of(name) in own]


def command_of(experiment: str) -> str:
    """The command that an experiment is for: `train`, unless its opening comment says "For `ldmlab COMMAND`"."""
    opening = _path("experiment", experiment).read_text().split("\n", 2)[:2]
    said = next(filter(None, (_FOR_COMMAND.match(line) for line in opening)), None)
    return "train" if said is None else said["command"]


def all_groups() -> list[str]:
    """Every group in conf/."""
    folders = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    return sorted(folders - {"hydra"})


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


def _defaults(path: Path) -> Iterator[tuple[str, Any]]:
    """The (group, option) pairs of a file's defaults list and of its bases', without Hydra's own groups."""
    file = read(path)
    for base, _ in file.bases:
        folder = conf_dir() if base.startswith("/") else path.parent
        yield from _defaults(folder / f"{base.lstrip('/')}.yaml")
    for name, option in file.choices:
        yield name.partition("@")[0], option


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif name not in ("_partial_", "_convert_"):
            yield f"{prefix}{name}", value


def _written(value: Any) -> str:
    """A value as it stands in a yaml and on a command line."""
    return value if isinstance(value, str) else json.dumps(value)


def _path(group: str, option: str) -> Path:
    return conf_dir() / group / f"{option}.yaml"
