"""Rows of Arrow and Parquet files, read where they lie: in memory are the page of a file and some rows around one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ldmlab.data.arrow_errors import damage_told
from ldmlab.files import open_regular

if TYPE_CHECKING:
    import pyarrow

ARROW_FILE = b"ARROW1"
"""What a file of Arrow begins with that has a table of contents; a stream, such as `datasets` writes, has none."""
BUFFER = 2**20
"""Bytes of a Parquet file that are read at once; without it, those of a whole row group are."""
BATCH = 32
"""Rows of a Parquet file that are unpacked at once."""


class Blocks(Protocol):
    """A file as blocks of rows."""

    schema: pyarrow.Schema
    counts: list[int]

    def block(self, number: int) -> Iterator[pyarrow.RecordBatch]:
        """The parts of a block, in their order."""


class ArrowBlocks:
    """The record batches of an Arrow file, mapped into memory.

    Args:
        path: of the file.
        columns: names of those to read; all if not given.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None) -> None:
        from pyarrow import ipc, memory_map

        with open_regular(path) as file:
            is_stream = file.read(len(ARROW_FILE)) != ARROW_FILE
        source = memory_map(str(path))
        reader = ipc.open_stream(source) if is_stream else ipc.open_file(source)
        batches = list(reader) if is_stream else [reader.get_batch(k) for k in range(reader.num_record_batches)]
        self.schema = reader.schema
        self.counts = [batch.num_rows for batch in batches]
        self._batches = batches if columns is None else [batch.select(list(columns)) for batch in batches]

    def block(self, number: int) -> Iterator[pyarrow.RecordBatch]:
        """The record batch, checked, since what lies in a file may be a stranger's."""
        batch = self._batches[number]
        batch.validate(full=True)
        yield batch


class ParquetBlocks:
    """The row groups of a Parquet file; each is unpacked some rows at a time.

    Args:
        path: of the file.
        columns: names of those to read; all if not given.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None) -> None:
        from pyarrow import parquet

        self._file = parquet.ParquetFile(open_regular(path), pre_buffer=False, buffer_size=BUFFER)
        self._columns = None if columns is None else list(columns)
        self.schema = self._file.schema_arrow
        groups = range(self._file.metadata.num_row_groups)
        self.counts = [self._file.metadata.row_group(number).num_rows for number in groups]

    def block(self, number: int) -> Iterator[pyarrow.RecordBatch]:
        """The rows of a group, some at a time."""
        yield from self._file.iter_batches(BATCH, row_groups=[number], columns=self._columns, use_threads=False)


class Table:
    """The rows of several files, in their order, as plain values. Reading them one after another reads a file once.

    Args:
        paths: of the files.
        columns: names of those to read; all if not given.

    Raises:
        ValueError: a file is neither Arrow nor Parquet, or has other columns than the first.
    """

    def __init__(self, paths: Sequence[Path], columns: Sequence[str] | None = None) -> None:
        self._columns = columns
        self.schema = _blocks(paths[0], columns).schema
        self._blocks: list[tuple[Path, int]] = []
        counts: list[int] = []
        for path in paths:
            file = _blocks(path, columns)
            if not file.schema.equals(self.schema):
                raise ValueError(f"{path}: has other columns than {paths[0].name}; give files of one dataset")
            self._blocks += [(path, number) for number in range(len(file.counts))]
            counts += file.counts
        self._ends = list(accumulate(counts))
        self._opened: tuple[Path, Blocks] | None = None  # one at a time: there may be thousands
        self._here, self._start, self._parts = -1, 0, iter(())
        self._part: pyarrow.RecordBatch | None = None

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def row(self, number: int) -> dict[str, Any]:
        """A row's values by column, 0 <= number < len.

        Raises:
            ValueError: the file is damaged there.
        """
        try:
            with damage_told("damaged"):
                part = self._part_with(number)
                return {name: part.column(name)[number - self._start].as_py() for name in part.schema.names}
        except ValueError:
            self._part = None
            raise

    def _part_with(self, number: int) -> pyarrow.RecordBatch:
        block = bisect_right(self._ends, number)
        if block != self._here or self._part is None or number < self._start:
            path, inside = self._blocks[block]
            self._here, self._start = block, self._ends[block - 1] if block else 0
            self._parts = self._file(path).block(inside)
            self._part = self._next()
        while number >= self._start + self._part.num_rows:
            self._start += self._part.num_rows
            self._part = self._next()
        return self._part

    def _file(self, path: Path) -> Blocks:
        if self._opened is None or self._opened[0] != path:
            self._opened = path, _blocks(path, self._columns)
        return self._opened[1]

    def _next(self) -> pyarrow.RecordBatch:
        part = next(self._parts, None)
        if part is None:
            raise EOFError("ends too soon")
        return part


def _blocks(path: Path, columns: Sequence[str] | None) -> Blocks:
    is_parquet = path.suffix == ".parquet"
    with damage_told(f"{path}: is no {'Parquet' if is_parquet else 'Arrow'} file"):
        blocks: Blocks = (ParquetBlocks if is_parquet else ArrowBlocks)(path, columns)
    if sum(blocks.counts) > path.stat().st_size or min(blocks.counts, default=0) < 0:
        raise ValueError(f"{path}: says that it has {sum(blocks.counts)} rows, more than its bytes can hold")
    return blocks
