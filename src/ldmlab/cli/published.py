"""Figures printed below those of papers, and the same as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from ldmlab.atomic import atomic_file
from ldmlab.evaluation.published.table import EXPLAINED, Beside


def beside_published(result: Mapping[str, Any], folder: Path) -> list[str]:
    """Print a published table with what was measured as its last row, and write table.md and table.csv.

    Args:
        result: of a measurement, whose manifest names the table; nothing is done where it names none.
        folder: of the files.

    Returns:
        Lines to print at the end.
    """
    beside = Beside.of(result)
    if beside is None:
        return []
    table = Table(*(Column(name, overflow="fold") for name in beside.header()), title=beside.table.title)
    for row in beside.lines():
        table.add_row(*row)
    Console(width=100).print(table)
    print(EXPLAINED)
    for line in beside.reasons(whole=False):
        print(line)
    for name, text in (("table.md", beside.markdown()), ("table.csv", beside.csv())):
        with atomic_file(folder / name) as file:
            file.write(text.encode())
    return [f"table: {folder / 'table.md'}, with the source of each row"]
