"""Figures that commands print, and the one that a sweeper looks at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from ldmlab.confidence import written
from ldmlab.status import tell, told_figure

WIDE = 200
"""Characters of a line in a file."""


def print_table(metrics: Mapping[str, float | None], title: str, errors: Mapping[str, float] | None = None) -> None:
    """Print figures, each beside its standard error.

    Args:
        metrics: by name; None stands for an infinite one.
        title: of the table.
        errors: of those figures that have one.
    """
    table = Table("figure", "value", title=title)
    for name, value in metrics.items():
        table.add_row(name, written(value, (errors or {}).get(name)))
    Console(width=100).print(table)


def print_rows(rows: Sequence[Sequence[str]], title: str) -> None:
    """A table whose first row is its heading, wide where nobody looks on; suffixes have a line of their own."""
    table = Table(title=title)
    for number, heading in enumerate(rows[0]):
        table.add_column(heading.replace("-", "\n-", 1), justify="right" if number else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    console = Console()
    console.print(table) if console.is_terminal else Console(width=WIDE).print(table)


def figure_of(metrics: Mapping[str, float | None], name: str | None) -> float:
    """The figure that stands for a run, where a sweeper compares runs: that of a name, or the first.

    Args:
        metrics: figures by name; None stands for an infinite one.
        name: of one of them; None for the first.

    Returns:
        The figure; NaN, and a line that says so, where there is none of that name, which only shows in the end.
    """
    if name is not None and name not in metrics:
        print(f"figure={name}: is not measured; choose one of {', '.join(metrics)}")
        return math.nan
    name = next(iter(metrics)) if name is None else name
    value = metrics[name]
    tell(at_once=False, figure=told_figure(name, value))
    return math.inf if value is None else value
