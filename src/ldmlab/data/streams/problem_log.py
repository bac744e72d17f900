"""What is found to be wrong with a stream while it is read: told, counted, and named in a table."""

from __future__ import annotations

import csv
import logging
from io import TextIOWrapper
from itertools import islice
from pathlib import Path

from ldmlab.atomic import atomic_file
from ldmlab.data.problems import COLUMNS, Defect, Problem, Tally, told

log = logging.getLogger(__name__)
TOLD = 5
"""Of each kind; after that, they are in the table alone."""


class ProblemLog:
    """Takes problems one by one, in memory that does not grow with them."""

    def __init__(self) -> None:
        self._tallies: dict[Defect, Tally] = {}
        self._path: Path | None = None

    def write_to(self, path: Path) -> None:
        """Name those to come in a table, behind those that an earlier start of the run has named there.

        Args:
            path: of the csv file.
        """
        self._path = path

    def go_back_to(self, count: int) -> None:
        """Take all but the first so many out of the table: a run that goes on finds them again.

        Args:
            count: those that were named when the run was saved.
        """
        if self._path is None or not self._path.exists():
            return
        with self._path.open(newline="") as old, atomic_file(self._path) as file:
            new = TextIOWrapper(file, "utf-8", newline="")
            csv.writer(new, lineterminator="\n").writerows(islice(csv.reader(old), 1 + count))
            new.flush()
            new.detach()

    def add(self, problem: Problem) -> None:
        """Take one in."""
        times, first = self._tallies.get(problem.defect, (0, problem))
        self._tallies[problem.defect] = Tally(times + 1, first)
        if times < TOLD:
            more = "; more of this kind are in the table alone" if times == TOLD - 1 else ""
            log.warning("%s: left out (%s%s)", problem, problem.defect, more if self._path else "")
        if self._path is not None:
            is_new = not self._path.exists()
            with self._path.open("a", newline="") as file:
                rows = csv.writer(file, lineterminator="\n")
                if is_new:
                    rows.writerow(COLUMNS)
                rows.writerow((str(problem.defect), problem.shard, problem.key, problem.detail))

    def summary(self) -> str:
        """One line; "" where there were none."""
        return told(self._tallies) if self._tallies else ""
