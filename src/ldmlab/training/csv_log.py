"""Metrics as a table in the run's folder, which no kill can spoil."""

from __future__ import annotations

import csv
import io
import logging
from argparse import Namespace
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ldmlab.atomic import atomic_file

log = logging.getLogger(__name__)

FILE, STEP = "metrics.csv", "step"


def csv_logger(folder: str) -> TableLogger:
    """A logger that writes `metrics.csv`; a resumed run adds to it.

    Args:
        folder: the run's output folder.
    """
    return TableLogger(Path(folder))


class Table:
    """A CSV file with one row a step, in rising order.

    A row is handed to the system as soon as it is known, and lives through the death of the process. What comes later
    for the same step (a validation's figures) is written over the last row; nothing before that is ever touched. A new
    column makes a new file, which takes the place of the old one whole.

    Args:
        path: the file. One that is there is gone on with, but for a last line that was cut off.

    Raises:
        ValueError: the file is a link, which may lead to any file of the user's.
    """

    def __init__(self, path: Path) -> None:
        if path.is_symlink():
            raise ValueError(f"{path}: is a link, and a run writes through none; remove it")
        self.path = path
        self._columns = [STEP]
        self._row: dict[str, str] = {}
        self._start = self._end = 0
        self._read(before=None)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write values of a step, the last one or a later one. Those that its row has already stay as they are."""
        if self._row.get(STEP) != str(step):
            self._start, self._row = self._end, {STEP: str(step)}
        self._row = {name: str(value) for name, value in values.items()} | self._row
        new = sorted(set(self._row) - set(self._columns))
        if new or not self.path.is_file():
            self._widen(new)
        with open(self.path, "r+b") as file:
            file.seek(self._start)
            file.write(_line(self._row.get(name, "") for name in self._columns))
            file.truncate()
            self._end = file.tell()

    def go_back_to(self, step: int) -> None:
        """Drop the rows from a step on: they are about to be written again."""
        self._read(before=step)

    def _read(self, before: int | None) -> None:
        """Find the last row, of those before a step, and cut off what follows it."""
        if not self.path.is_file():
            return
        with open(self.path, "r+b") as file:
            header = file.readline()
            whole = header.endswith(b"\n")
            self._columns, self._row = _cells(header) if whole else [STEP], {}
            self._start = self._end = len(header) if whole else 0
            for line in file:
                row = dict(zip(self._columns, _cells(line), strict=False))
                step = row.get(STEP, "")
                if not line.endswith(b"\n") or (before is not None and step.isdecimal() and int(step) >= before):
                    break
                self._row = {name: value for name, value in row.items() if value}
                self._start, self._end = self._end, self._end + len(line)
            file.truncate(self._end)
        if not whole:
            self.path.unlink()

    def _widen(self, new: Iterable[str]) -> None:
        """Give the rows before the last one further columns."""
        before = self.path.read_bytes()[: self._start] if self.path.is_file() else b""
        self._columns = [*self._columns, *new]
        rows = csv.DictReader(io.StringIO(before.decode(), newline=""))
        with atomic_file(self.path) as file:
            file.write(_line(self._columns))
            for row in rows:
                file.write(_line(row.get(name) or "" for name in self._columns))
            self._start = file.tell()


def last_value(folder: Path, column: str | None) -> float | None:
    """The last figure of a name in a run's `metrics.csv`; None where there is none."""
    try:
        with open(folder / FILE, newline="") as file:
            values = [value for row in csv.DictReader(file) if (value := row.get(str(column)))]
        return float(values[-1]) if values else None
    except (OSError, ValueError):
        return None


def _cells(line: bytes) -> list[str]:
    return next(csv.reader([line.decode(errors="replace").rstrip("\r\n")]), [])


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


class TableLogger(Logger):
    """Lightning's logger over a `Table`, with the settings in `hparams.yaml` beside it.

    Args:
        folder: where both are.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._failed = False

    @cached_property
    def table(self) -> Table:
        """The table, which is read when the run begins and not before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Table(self.folder / FILE)

    @property
    def name(self) -> str:
        """None: the folder is the run's own."""
        return ""

    @property
    def version(self) -> str:
        """None: there is one table a folder."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of the table."""
        return str(self.folder)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write the settings, plain data."""
        _ = self.table  # ValueError where it is a link
        with atomic_file(self.folder / "hparams.yaml") as file:
            settings = vars(params) if isinstance(params, Namespace) else params
            file.write(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).encode())

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write a step's figures. Where that fails (a full disk), training goes on without them."""
        if step is None:
            raise ValueError(f"{self.table.path}: a row of figures has a step; give log_metrics one")
        try:
            self.table.add(step, metrics)
        except OSError as error:
            if not self._failed:
                log.warning("%s: rows are missing from step %d on: %s", self.table.path, step, error)
            self._failed = True

    @rank_zero_only
    def go_back_to(self, step: int) -> None:
        """Drop the rows from a step on: they are about to be written again."""
        self.table.go_back_to(step)
