"""Rows as they are measured, kept line by line, so that a run that is cut off keeps what it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from marked_page import write_between
from side_by_side.row import Row, table

BEGIN, END = "<!-- bench-gpu: what follows is written by `make bench-gpu` -->", "<!-- bench-gpu: end -->"


class Record:
    """Rows of one machine and one commit, in a file of one JSON object a line; the first says where.

    What the file holds of another machine or commit is left out; what it holds of these is kept, so that sections can
    be measured one after the other.

    Args:
        path: of the file.
        where: see `machine.description`.
    """

    def __init__(self, path: Path, where: Mapping[str, str]) -> None:
        self.path = path
        self.where = dict(where)
        self.rows: dict[tuple[str, str, str], Row] = {}
        lines = path.read_text().splitlines() if path.exists() else []
        if lines and json.loads(lines[0]) == self.where:
            self.rows = {row.key: row for row in (Row.from_json(json.loads(line)) for line in lines[1:])}
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.where) + "\n")

    def add(self, row: Row) -> None:
        """Keep a row."""
        self.rows[row.key] = row
        with self.path.open("a") as file:
            file.write(json.dumps(row.as_json()) + "\n")

    def markdown(self) -> str:
        """All rows, a table for each section."""
        sections = dict.fromkeys(row.section for row in self.rows.values())
        tables = [
            f"### {section}\n\n{table([row for row in self.rows.values() if row.section == section])}"
            for section in sections
        ]
        return "\n\n".join([", ".join(f"{key} {value}" for key, value in self.where.items()) + ".", *tables])

    def write_into(self, page: Path) -> None:
        """Put the tables between the two marks of a page.

        Raises:
            ValueError: the page has no such marks.
        """
        write_between(page, BEGIN, END, self.markdown())
