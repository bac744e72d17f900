"""The jobs of a sweep that Hydra's own sweeper makes, checked before the first one starts.

Composing and checking a config takes a tenth of a second, and a sweep may have hundreds. So of jobs that differ in the
size of numbers alone (seeds, learning rates) the first is checked whole, and of the others the ranges of the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from ldmlab.configs.bounds import bounded, unbounded
from ldmlab.configs.compose import as_job
from ldmlab.configs.overrides import parse
from ldmlab.configs.user_files import expand_paths, require_files
from ldmlab.configs.validate import check_ranges, plain_values

if TYPE_CHECKING:
    from ldmlab.cli.run import Run

BY_NUMBER = "${hydra.job.num}"


@dataclass(frozen=True)
class Kind:
    """Jobs that differ in the size of numbers alone.

    Attributes:
        config: of the first of them, checked, with Hydra's own node.
        number: of that job in the sweep.
        folder: of that job.
        fallen: the keys that fall away of their configs.
        values: its values, plain and resolved.
    """

    config: DictConfig
    number: int
    folder: Path
    fallen: list[str]
    values: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Job:
    """A job of a sweep.

    Attributes:
        number: in the sweep.
        lines: its overrides.
        numbers: the values in which it differs from others of its kind, by key.
        kind: what it was checked as.
    """

    number: int
    lines: tuple[str, ...]
    numbers: dict[str, float]
    kind: Kind

    @property
    def folder(self) -> Path:
        """Where it writes."""
        is_first = self.number == self.kind.number
        return self.kind.folder if is_first else self.kind.folder.parent / str(self.number)

    def written(self) -> str:
        """The record that it will have written, as yaml."""
        own = OmegaConf.masked_copy(self.kind.config, [str(key) for key in self.kind.config if key != "hydra"])
        with as_job(self.kind.config, self.number):
            OmegaConf.set_struct(own, False)
            for key, value in self.numbers.items():
                OmegaConf.update(own, key, value)
            if "output_dir" in own:
                own.output_dir = str(self.folder)
            expand_paths(own)
            return OmegaConf.to_yaml(own)


def checked_jobs(config: DictConfig, run: Run) -> list[Job]:
    """Check all jobs of a sweep.

    Args:
        config: what they have in common.
        run: of which it is the sweep.

    Raises:
        UserError: the first thing that is wrong with one of them.
    """
    with unbounded(), bounded():
        given = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
        overrides = parse([*params, *map(str, given or ())])
        (split,) = BasicSweeper.split_arguments(overrides, None)
    kinds: dict[tuple[str, ...], Kind] = {}
    jobs = []
    places = [place for place, lines in enumerate(zip(*split, strict=True)) if len({*lines}) > 1]
    varying = places if _may_be_alike(config, overrides) else []
    for number, lines in enumerate(split):
        numbers = {key: value for place in varying for key, value in _number(lines[place])}
        sort = tuple(f"{key}:{type(value)}" for key, value in numbers.items())
        key = (*sort, *(line for line in lines if _key(line) not in numbers))
        if key not in kinds:
            kinds[key] = _checked(number, lines, config, run)
        else:
            _check_numbers(run, kinds[key], numbers)
        jobs.append(Job(number, tuple(lines), numbers, kinds[key]))
    for kind in kinds.values():  # a wrong value of a later job is told before a missing file
        with as_job(kind.config, kind.number):
            require_files(run.command, kind.config)
    return jobs


def moved(jobs: Sequence[Job], given: Path, folder: Path) -> list[Job]:
    """The jobs of a sweep whose folder got another name than was given."""
    kinds = {
        id(job.kind): replace(job.kind, folder=folder / job.kind.folder.relative_to(given))
        for job in jobs
        if job.kind.folder.is_relative_to(given)
    }
    return [replace(job, kind=kinds.get(id(job.kind), job.kind)) for job in jobs]


def swept_keys(config: DictConfig) -> list[str]:
    """The keys and groups that differ between the jobs of a sweep."""
    given = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    overrides = [each for each in parse(list(map(str, given or ()))) if each.is_sweep_override()]
    params = config.hydra.sweeper.get("params") or ()
    return [*map(str, params), *(each.get_key_element().lstrip("+") for each in overrides)]


def _checked(number: int, lines: Sequence[str], config: DictConfig, run: Run) -> Kind:
    assert run.loader is not None
    with unbounded(), bounded():
        job = run.loader.load_sweep_config(config, list(lines))
        with as_job(job, number) as folder:
            fallen = run.check(job, files=False)
            return Kind(job, number, folder, fallen, plain_values(job))


def _check_numbers(run: Run, kind: Kind, numbers: dict[str, float]) -> None:
    for key, value in numbers.items():
        *sections, name = key.split(".")
        around = kind.values
        for section in sections:
            around = around.setdefault(section, {})
        around[name] = value
    check_ranges(run.command, kind.values)


def _may_be_alike(config: DictConfig, overrides: Sequence[Override]) -> bool:
    """Whether a job's folder and values do not depend on each other in ways that only composing them shows."""
    written: Any = OmegaConf.to_container(config.hydra, resolve=False)
    refers = any("${" in str(each.input_line).replace("${now:", "") for each in overrides)
    return not refers and written["sweep"]["subdir"] == BY_NUMBER


@cache
def _number(line: str) -> list[tuple[str, float]]:
    """The key of a line that sets one to a finite number, and the number; empty for another line."""
    (override,) = parse([line])
    value = override.value()
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return [(_key(line), value)] if is_number and not override.is_delete() else []  # type: ignore[list-item]


def _key(line: str) -> str:
    return line.partition("=")[0].lstrip("+")
