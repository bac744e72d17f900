"""Tables that commands print."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table


def print_table(metrics: Mapping[str, float | None], title: str) -> None:
    """Figures by name; None stands for an infinite one."""
    table = Table("figure", "value", title=title)
    for name, value in metrics.items():
        table.add_row(name, "infinite" if value is None else f"{value:.4g}")
    Console(width=100).print(table)
