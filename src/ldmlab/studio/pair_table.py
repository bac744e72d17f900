"""Two runs, a line a figure: how far apart they are, and whether that is more than noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ldmlab.confidence import written
from ldmlab.studio.run_comparison import HOW, NOISE, Compared, circumstances, compared, unlike
from ldmlab.studio.run_records import RunRecord, named
from ldmlab.studio.run_table import figure_names


def print_pair(one: RunRecord, other: RunRecord, root: Path, figures: Sequence[str] | None = None) -> None:
    """Print a table with a line for each figure that both have, and below it what it means.

    Args:
        one: a run.
        other: what it is compared with.
        root: what their folders are named from.
        figures: to be shown; None for all.
    """
    names = [name for name in figures or figure_names([one, other]) if _both(one, other, name)]
    found = compared([(one, other, name) for name in names])
    table = Table()
    for column in ("figure", named(one.folder, root), named(other.folder, root), "difference", "p", ""):
        table.add_column(column, justify="left" if column in ("figure", "") else "right", overflow="fold")
    for name, each in zip(names, found, strict=True):
        table.add_row(name, *(run.written(name) for run in (one, other)), *_cells(each), each.mark)
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)
    for line in _remarks(one, other, found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _both(one: RunRecord, other: RunRecord, name: str) -> bool:
    return not any(math.isnan(run.value(name)) for run in (one, other))


def _cells(each: Compared) -> tuple[str, str]:
    if each.difference is None:
        return "", ""
    return written(each.difference.value, each.difference.error), f"{each.p_value:.2g}"


def _remarks(one: RunRecord, other: RunRecord, found: Sequence[Compared]) -> list[str]:
    mine, theirs = circumstances(one), circumstances(other)
    if words := unlike(one, other):
        said = "; ".join(f"{word}: {_said(mine.get(word))} and {_said(theirs.get(word))}" for word in words)
        return [f"not compared, since they were measured otherwise: {said}"]
    if all(each.difference is None for each in found):
        return ["no figure of both has a standard error, so nothing can be compared"]
    return [f"{NOISE}: differs by no more than noise ({HOW} over the lines)"]


def _said(values: Sequence[object] | None) -> str:
    return " ".join(str(value)[:16] for value in values or () if value is not None) or "none"
