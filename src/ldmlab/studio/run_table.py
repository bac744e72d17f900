"""Runs side by side: their figures, and the settings in which they differ."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ldmlab.atomic import atomic_file
from ldmlab.confidence import ERROR
from ldmlab.studio.run_comparison import Marks
from ldmlab.studio.run_records import RunRecord, named

APART = {"output_dir", "ckpt_path", "hydra.sweep.dir"}
"""Settings that differ between runs without telling them apart."""
MOST_SETTINGS, MOST_FIGURES = 6, 5
"""Columns of a table; the csv has all."""
NOT_FIGURES = {"step", "epoch"}


def differing(runs: Sequence[RunRecord]) -> list[str]:
    """The settings in which runs differ: of those that their users chose if there are such, else of all."""
    chosen = dict.fromkeys(key for run in runs for key in run.overrides)
    return _differ(runs, list(chosen)) or _differ(runs, _all_settings(runs))


def _differ(runs: Sequence[RunRecord], keys: Sequence[str]) -> list[str]:
    return [key for key in keys if key not in APART and len({run.setting(key) for run in runs}) > 1]


def figure_names(runs: Sequence[RunRecord]) -> list[str]:
    """The figures of runs: those first that they are judged by, then those of held-out samples, then the loss."""
    judged = dict.fromkeys(run.figure[0] for run in runs if run.figure is not None)
    logged = dict.fromkeys(name for run in runs for name in run.figures if name not in NOT_FIGURES)
    return list(judged | dict.fromkeys(sorted(logged, key=_rank)))


def _rank(name: str) -> int:
    return 0 if name.startswith(("val/", "eval/")) else 1 if name == "train/loss" else 2


def ordered(runs: Sequence[RunRecord], by: str | None) -> list[RunRecord]:
    """Sort runs by a figure or a setting.

    Args:
        runs: in the order that they keep where they are equal.
        by: a figure, a setting, or either with a `-` before it for the largest first; None for the figure that most
            of them are judged by, the best first, or the order that they have.

    Raises:
        ValueError: no run has a figure or a setting of that name.
    """
    name, down = (by or "").removeprefix("-"), (by or "").startswith("-")
    if by is None:
        judged = [run.figure[0] for run in runs if run.figure is not None]
        if not judged:
            return list(runs)
        name = max(dict.fromkeys(judged), key=judged.count)
        down = any(run.settings.get("figure_mode") == "max" or run.higher_is_better.get(name) for run in runs)
    if name in figure_names(runs):
        return sorted(runs, key=lambda run: _key(run.value(name), down))
    if not any(run.setting(name) for run in runs):
        known = ", ".join([*figure_names(runs), *differing(runs)])
        raise ValueError(f"sort={by}: no run has such a figure or setting; choose one of {known}")
    return sorted(runs, key=lambda run: _setting_key(run.setting(name)), reverse=down)


def best(runs: Sequence[RunRecord], by: str | None = None) -> RunRecord | None:
    """The first of runs in the order of a figure, see `ordered`; None where they have none."""
    if by is not None and by.removeprefix("-") not in figure_names(runs):
        by = None
    first = ordered(runs, by)[0]
    return first if by is not None or first.figure is not None else None


def called(name: str, runs: Sequence[RunRecord], root: Path, key: str) -> RunRecord:
    """The run of a name, as tables call it, or of a folder.

    Raises:
        ValueError: naming the key, where there is none.
    """
    for run in runs:
        if name == named(run.folder, root) or Path(name).absolute() == run.folder.absolute():
            return run
    known = [named(run.folder, root) for run in runs]
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    raise ValueError(f"{key}={name}: no run in {root} is called so; choose one of {', '.join(known[:8])}{more}")


def _key(value: float, down: bool) -> tuple[bool, float]:
    """Runs without the figure come last, whichever way."""
    return math.isnan(value), 0.0 if math.isnan(value) else -value if down else value


def _setting_key(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), ""
    except ValueError:
        return True, 0.0, text


def print_runs(
    runs: Sequence[RunRecord], root: Path, figures: Sequence[str] | None = None, baseline: RunRecord | None = None
) -> None:
    """Print a table with a line a run, and below it what failed with what.

    Figures with standard errors that differ from those of the baseline by no more than noise are marked.

    Args:
        runs: in the order of the lines.
        root: what their folders are named from.
        figures: to be shown; None for those that runs are judged by, and the first others.
        baseline: one of them; None for the best, if they are judged by a figure.
    """
    shown = figure_names(runs)[:MOST_FIGURES] if figures is None else list(figures)
    marks = Marks.of(runs, baseline or best(runs), shown)
    settings = differing(runs)
    table = Table()
    for column in ("run", "state", "step"):
        table.add_column(column, no_wrap=True)
    for name in shown:
        table.add_column(name, justify="right", overflow="fold")
    for name in settings[:MOST_SETTINGS]:
        table.add_column(name, overflow="fold")
    for run in runs:
        values = (f"{run.written(name)} {marks.of_cell(run, name)}".rstrip() for name in shown)
        table.add_row(*_cells(run, root), *values, *map(run.setting, settings[:MOST_SETTINGS]))
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)
    for line in marks.legend(root):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for run in runs:
        if run.status is not None and run.status.error:
            console.print(f"{named(run.folder, root)}: {run.status.error}", markup=False, highlight=False)
    if len(settings) > MOST_SETTINGS:
        console.print(f"{len(settings) - MOST_SETTINGS} further settings differ; csv=FILE has all", highlight=False)


def write_csv(path: Path, runs: Sequence[RunRecord], root: Path) -> None:
    """Write all figures with their errors, and all settings that differ, with a line a run."""
    keys = dict.fromkeys([*differing(runs), *_differ(runs, _all_settings(runs))])
    figures = {name: [run.value(name) for run in runs] for name in figure_names(runs)}
    columns = {}
    for name, values in figures.items():
        columns[name] = values
        if any(name in run.errors for run in runs):
            columns[f"{name}{ERROR}"] = [run.errors.get(name, math.nan) for run in runs]
    with atomic_file(path) as file:
        lines: list[list[str]] = [["run", "state", "step", *columns, *keys]]
        for place, run in enumerate(runs):
            cells = ["" if math.isnan(values[place]) else repr(values[place]) for values in columns.values()]
            lines.append([*_cells(run, root, bare=True), *cells, *(run.setting(key) for key in keys)])
        file.write("".join(map(_csv_line, lines)).encode())


def _all_settings(runs: Sequence[RunRecord]) -> list[str]:
    return list(dict.fromkeys(key for run in runs for key in run.settings))


def _csv_line(cells: Sequence[str]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _cells(run: RunRecord, root: Path, bare: bool = False) -> tuple[str, str, str]:
    status = run.status
    if status is None or not status.step:
        step = ""
    else:
        step = str(status.step) if bare or status.steps is None else f"{status.step}/{status.steps}"
    return named(run.folder, root), run.state, step
