"""The yaml files of commands, options and experiments as they are written: read without Hydra, and quickly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

SETTERS = frozenset({"experiment", "protocol"})
"""Groups whose options choose options of other groups and set their keys, and have no keys of their own."""
_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class YamlFile:
    """A config file.

    Attributes:
        text: all of it.
        package: where its keys go, by its `# @package` line; None where that is the place of its group.
        defaults: its defaults list.
        content: its own keys.
    """

    text: str
    package: str | None
    defaults: tuple[Any, ...]
    content: Mapping[str, Any]

    @property
    def bases(self) -> list[tuple[str, str]]:
        """The files that it is built on, each with the place that it is given there, or ""."""
        entries = [entry for entry in self.defaults if isinstance(entry, str) and entry != "_self_"]
        return [(name, package) for name, _, package in (entry.partition("@") for entry in entries)]

    @property
    def choices(self) -> Iterator[tuple[str, Any]]:
        """The (group, option) pairs of its defaults list, without Hydra's own groups."""
        for entry in self.defaults:
            for name, option in entry.items() if isinstance(entry, Mapping) else ():
                group = str(name).removeprefix("override ").removeprefix("optional ").strip().lstrip("/")
                if not group.startswith("hydra/"):
                    yield group, option


def read(path: Path) -> YamlFile:
    """Read a file that Hydra can read as well.

    Raises:
        OSError: it is not there.
    """
    seen = path.stat()
    return _read(path, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=1024)
def _read(path: Path, time: int, size: int) -> YamlFile:
    import yaml

    text = path.read_text()
    header = _PACKAGE.search(text)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(text, Loader=loader)
    content = dict(content) if isinstance(content, Mapping) else {}
    defaults = content.pop("defaults", None)
    return YamlFile(text, header and header[1], tuple(defaults or ()), content)
