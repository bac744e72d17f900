"""What runs leave in their folders, read back: settings, figures, and how far they came."""

from __future__ import annotations

import math
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldmlab.confidence import written
from ldmlab.files import read_text
from ldmlab.status import Status, read_status
from ldmlab.studio.run_figures import read_figures

RECORD, LOCK = ".hydra", ".lock"
BEAT = 60.0
"""Seconds for which a lock that is not touched is still a living writer's, which touches it every five."""
DEEP = 6
"""Folders below the one that is asked for."""
_LINE = re.compile(r"(?P<indent> *)(?P<key>'[^']*'|[^\s:'-][^:]*):(?: (?P<value>.*)|$)")


@dataclass(frozen=True)
class RunRecord:
    """A run, as its folder tells of it.

    Attributes:
        folder: of the run.
        status: what it says of itself; None of a run that says nothing.
        settings: the values of its config by dotted key, as they are written.
        overrides: what its user chose, by key or group.
        figures: the last value of each by name.
        errors: the standard errors of those figures that have one.
        manifest: what the figures depend on, of a measurement; see `ldmlab.metrics.manifest`.
        higher_is_better: of figures of a measurement, as far as it is told.
    """

    folder: Path
    status: Status | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """One of `ldmlab.status.STATES`, "died" where a kill has left it at "running", or "waiting"."""
        status = self.status
        if status is None:
            return "done" if self.figures else "waiting"
        return "died" if status.state == "running" and not is_alive(self.folder, status) else status.state

    @property
    def figure(self) -> tuple[str, float] | None:
        """The name and the value of the figure that it is judged by."""
        told = None if self.status is None else self.status.figure
        if not isinstance(told, dict):
            return None
        return str(told.get("name")), math.nan if told.get("value") is None else float(told["value"])

    def value(self, name: str) -> float:
        """A figure; NaN where there is none."""
        if self.figure is not None and self.figure[0] == name:
            return self.figure[1]
        return self.figures.get(name, math.nan)

    def written(self, name: str) -> str:
        """A figure with its error, for a table; empty where there is none."""
        value = self.value(name)
        return "" if math.isnan(value) else written(value, self.errors.get(name))

    def setting(self, key: str) -> str:
        """What a key or a group is set to; empty for one that the run does not have."""
        return self.overrides.get(key, self.settings.get(key, ""))


def find_runs(folder: Path) -> list[RunRecord]:
    """The runs in a folder and below it, in the order of their names; a run's own folders are not looked into."""
    return [read_run(path) for path in sorted(_folders(folder, DEEP), key=natural)]


def read_run(folder: Path) -> RunRecord:
    """Read what a run has left in its folder; what cannot be read counts as not there."""
    settings = dict(flat_settings(_text(folder / RECORD / "config.yaml")))
    lines = [_bare(line.removeprefix("- ")) for line in _text(folder / RECORD / "overrides.yaml").splitlines()]
    parted = (line.partition("=") for line in lines)
    overrides = {key.lstrip("+"): _bare(value) for key, equals, value in parted if equals}
    return RunRecord(folder, read_status(folder), settings, overrides, *read_figures(folder))


def is_alive(folder: Path, status: Status) -> bool:
    """Whether the process of a run is still there: on this host by its number, on another by its lock on the folder."""
    if status.host != socket.gethostname():
        with suppress(OSError):
            return time.time() - (folder / LOCK).stat().st_mtime < BEAT
        return False
    try:
        os.kill(status.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def flat_settings(config: str) -> Iterator[tuple[str, str]]:
    """The lines of a config with dotted keys, in order; elements of lists have the key of their list.

    Args:
        config: as Hydra writes it. It is not parsed, since it may be anything.
    """
    path = [""]
    for line in config.splitlines():
        match = _LINE.match(line)
        if match is not None:
            path[len(match["indent"]) // 2 :] = [match["key"].strip("'")]
        value = line.strip().removeprefix("- ") if match is None else match["value"]
        if value is not None:  # a section or list has none
            yield ".".join(path), value


def natural(path: Path) -> list[tuple[int, str]]:
    """Sorts names with numbers by them: 2 before 10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def named(folder: Path, root: Path) -> str:
    """A folder as seen from another."""
    if folder == root:
        return folder.name or str(folder)
    return str(folder.relative_to(root)) if folder.is_relative_to(root) else str(folder)


def _folders(folder: Path, deep: int) -> Iterator[Path]:
    if (folder / RECORD / "config.yaml").is_file():
        yield folder
    elif deep:
        for path in subfolders(folder):
            yield from _folders(path, deep - 1)


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, neither links nor hidden ones; none where it cannot be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        return [Path(each.path) for each in entries if each.is_dir(follow_symlinks=False) and each.name[0] != "."]
    return []


def _bare(text: str) -> str:
    """A text without the quotes around it."""
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text


def _text(path: Path) -> str:
    with suppress(OSError, ValueError):
        return read_text(path)
    return ""
