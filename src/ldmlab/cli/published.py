"""Figures printed below those of papers, and the same as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ldmlab.atomic import atomic_file
from ldmlab.evaluation.published.table import EXPLAINED, Beside

ONE_OF_A_RUN = frozenset({"model", "last", "previous", "best"})
"""What the files of a run are called, whose name tells less than that of its folder."""


def called(path: Path) -> str:
    """What a model is called in a table, by its file."""
    return path.absolute().parent.name if path.stem in ONE_OF_A_RUN else path.stem


def beside_published(result: Mapping[str, Any], model: str, folder: Path) -> list[str]:
    """Print a published table with what was measured as its last row, and write table.md and table.csv.

    Args:
        result: of a measurement, whose manifest names the table; nothing is done where it names none.
        model: what was measured.
        folder: of the files.

    Returns:
        Lines to print at the end.
    """
    beside = Beside.of(result, model)
    if beside is None:
        return []
    table = Table(*beside.header(), title=beside.table.title)
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
