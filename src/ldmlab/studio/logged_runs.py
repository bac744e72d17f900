"""What the runs of a sweep have logged to W&B, taken together: curves, pictures, tables, and settings that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ldmlab.studio.wandb_history import WandbHistory, history

OWN = ("_", "trainer/", "epoch")
"""What the names of figures begin with that no curve is drawn of."""
OF_THE_FOLDER = ("output_dir", "folder", "dirpath", "save_dir", "versions/", "commit", "flops")
"""What settings have in their names that say where a run was computed, and not what."""


@dataclass(frozen=True)
class LoggedRuns:
    """The runs of a sweep, or one run.

    Attributes:
        folder: of them all.
        runs: by the name of their folder, in order.
    """

    folder: Path
    runs: Mapping[str, WandbHistory]

    @classmethod
    def read(cls, folder: Path) -> LoggedRuns:
        """Read a run's folder, or all folders of runs that lie in one.

        Raises:
            ValueError: W&B has logged nothing there.
        """
        folders = [folder, *sorted((each for each in folder.iterdir() if each.is_dir()), key=_by_number)]
        found = {each.name: run for each in folders if (run := history(each)) is not None}
        if not found:
            raise ValueError(f"folder={folder}: holds nothing that W&B has logged; train with logger=[csv,wandb]")
        return cls(folder, found)

    @property
    def first(self) -> WandbHistory:
        """The first run."""
        return next(iter(self.runs.values()))

    @cached_property
    def curves(self) -> list[str]:
        """The names of all figures."""
        return self._names(lambda value: isinstance(value, int | float), without=OWN)

    @cached_property
    def pictures(self) -> list[str]:
        """The names of all pictures."""
        return self._names(lambda value: isinstance(value, dict) and str(value.get("_type")).startswith("images/"))

    @cached_property
    def tables(self) -> list[str]:
        """The names of all tables."""
        return self._names(lambda value: isinstance(value, dict) and value.get("_type") == "table-file")

    @cached_property
    def settings(self) -> list[str]:
        """The names of the settings, of one value each, in which runs differ; without those that follow others."""
        configs = [run.config for run in self.runs.values()]
        names = {name for config in configs for name in config if not any(part in name for part in OF_THE_FOLDER)}
        found: dict[tuple[str, str], str] = {}
        for name in sorted(names, key=lambda name: (name.count("/"), name)):
            values = [config.get(name) for config in configs]
            if _differ(values):
                found.setdefault((name.rpartition("/")[2], repr(values)), name)
        return sorted(found.values())

    def last(self, name: str) -> dict[str, float]:
        """The last value of a figure in each run that has logged it."""
        curves = {run: logged.curve(name) for run, logged in self.runs.items()}
        return {run: curve[-1][1] for run, curve in curves.items() if curve}

    def _names(self, wanted: Any, without: tuple[str, ...] = ("_",)) -> list[str]:
        rows = (row for run in self.runs.values() for row in run.rows)
        return sorted({name for row in rows for name, value in row.items() if wanted(value)
                       and not name.startswith(without)})  # fmt: skip


def _differ(values: Sequence[Any]) -> bool:
    return not any(isinstance(value, list | dict) for value in values) and any(v != values[0] for v in values)


def _by_number(path: Path) -> tuple[bool, int, str]:
    """Jobs of a sweep are called by their numbers."""
    return not path.name.isdecimal(), int(path.name) if path.name.isdecimal() else 0, path.name
