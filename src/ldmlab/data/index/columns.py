"""What scans found in all shards of a folder, column by column, in memory or mapped from files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.field_column import FieldColumn
from ldmlab.data.index.fields import parse
from ldmlab.data.index.findings import Part, from_line
from ldmlab.data.index.npy_file import expect
from ldmlab.data.index.sample_table import FLAWS, NUMBERS, are_within
from ldmlab.data.index.text_column import TextColumn
from ldmlab.data.problems import Defect, Problem, Tally
from ldmlab.data.shards.depth import SHALLOW, Depth
from ldmlab.data.shards.labels import NONE
from ldmlab.data.shards.shard_files import ShardFiles

FOLDER = ".ldmlab_index"
CHUNK = 2**18
"""Samples that are looked at at once, whatever their number."""


@dataclass(frozen=True)
class Shard:
    """A shard that holds samples.

    Attributes:
        name: of its file.
        size: in bytes, and `time` when it was written (ns).
        samples: how many it has.
        has_checksums: they were computed.
    """

    name: str
    size: int
    time: int
    samples: int
    has_checksums: bool = False


@dataclass(frozen=True)
class Columns:
    """N scanned samples of a folder, in the order of shard names and of samples within a shard.

    Attributes:
        root: the folder.
        shards: those that hold samples.
        numbers: the columns of `NUMBERS`, by name.
        keys: of WebDataset.
        captions: stripped, "" for none.
        fields: the keys of the json.
        lines: problems as `findings.to_line` has them.
        tallies: the problems, counted.
        depth: what was looked at in all of the shards.
        unread: shards that could not be read, but may be at another time.
        folder: of the files that they are mapped from; None where they are in memory.
    """

    root: Path
    shards: tuple[Shard, ...]
    numbers: dict[str, NDArray[Any]]
    keys: TextColumn
    captions: TextColumn
    fields: dict[str, FieldColumn]
    lines: TextColumn
    tallies: dict[Defect, Tally]
    depth: Depth = SHALLOW
    unread: tuple[str, ...] = ()
    folder: Path | None = None

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __reduce__(self) -> Any:
        if self.folder is not None:
            from ldmlab.data.index.column_files import open_columns

            return open_columns, (self.folder, self.root)
        return Columns, tuple(getattr(self, each.name) for each in fields(self))

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The first sample of each shard, and their number (shards + 1,)."""
        return np.cumsum([0, *(shard.samples for shard in self.shards)], dtype=np.int64)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """File names of the shards."""
        return tuple(shard.name for shard in self.shards)

    def shard_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of some samples' shards (n,)."""
        return np.searchsorted(self.starts, rows, "right") - 1

    def span(self, row: int) -> tuple[int, int, int, int, int]:
        """Return a sample's shard, image offset and bytes, json offset and bytes (-1, 0 without a json).

        Raises:
            ValueError: it lies outside of its shard: the stored index is not that of these shards.
        """
        shard = int(self.shard_of(np.array(row)))
        span = self.numbers["spans"][row]
        if not are_within(span[None], self.shards[shard].size)[0]:
            raise ValueError(self.unfit(shard, f"sample {row}"))
        image, image_size, meta, meta_size = map(int, span)
        return shard, image, image_size, meta, meta_size

    def label(self, row: int) -> int:
        """A sample's class number, -1 for none."""
        return max(int(self.numbers["labels"][row]), NONE)

    def checksum(self, row: int) -> int | None:
        """The crc32 of a sample's image; None where it was not computed."""
        shard = self.shards[int(self.shard_of(np.array(row)))]
        return int(self.numbers["checksums"][row]) if shard.has_checksums else None

    def flaw(self, name: str, row: int) -> Defect:
        """What is wrong with a sample that has a flaw of this name. ValueError where the stored number is of none."""
        number = int(self.numbers[name][row])
        if not 1 <= number <= len(FLAWS):
            raise ValueError(self.unfit(0, f"sample {row}"))
        return FLAWS[number - 1]

    def files(self) -> ShardFiles:
        """The shards to read from, as they were when they were scanned."""
        return ShardFiles(self.root, self.names, tuple((shard.size, shard.time) for shard in self.shards))

    def meta(self, row: int, files: ShardFiles) -> dict[str, Any]:
        """Read a sample's json; an empty dict where it has none. ValueError where it is not as it was indexed."""
        shard, _, _, offset, size = self.span(row)
        if offset < 0:
            return {}
        content = parse(files.read(shard, offset, size))
        if content is None:
            raise ValueError(self.unfit(shard, f"the json of {self.keys[row]}"))
        return dict(content)

    def unfit(self, shard: int, what: str) -> str:
        """What to say of a stored index that does not fit its shards."""
        where = self.root / self.names[shard]
        return f"{where}: {what} is not where the index has it: delete {FOLDER} in that folder"

    def problem(self, row: int, defect: Defect, detail: str = "") -> Problem:
        """Something that is wrong with a sample."""
        return Problem(defect, self.names[int(self.shard_of(np.array(row)))], self.keys[row], detail)

    def problems(self) -> Part:
        """What the scans found to be wrong."""
        return Part(self.tallies, self._each_problem)

    def _each_problem(self) -> Iterator[Problem]:
        return map(from_line, self.lines)

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Spans of samples that are looked at at once."""
        for start in range(0, len(self), CHUNK):
            yield start, min(start + CHUNK, len(self))

    def part(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """The samples from `start` to `stop` of a column of `NUMBERS`."""
        expect(self.numbers[name], start, stop)
        return self.numbers[name][start:stop]

    def check(self) -> None:
        """Raise ValueError where the columns do not hold together; reads all of them."""
        sizes = np.repeat([shard.size for shard in self.shards], [shard.samples for shard in self.shards])
        for text in (self.keys, self.captions, self.lines):
            text.check()
        for column in self.fields.values():
            column.check(len(self))
        flaws = np.maximum(self.numbers["caption_flaws"], self.numbers["label_flaws"])
        if not (are_within(self.numbers["spans"], sizes) & (flaws <= len(FLAWS))).all():
            raise ValueError("samples outside their shards")

    def require_shapes(self) -> None:
        """Raise ValueError where a column is of another type or length; reads none of them."""
        count = len(self)
        shapes = {name: (column.dtype, column.shape) for name, column in self.numbers.items()}
        if shapes != {name: (dtype, (count, *shape)) for name, (dtype, shape) in NUMBERS.items()}:
            raise ValueError("columns of another type or length")
        texts = ((self.keys, count), (self.captions, count), (self.lines, len(self.lines)))
        if any(len(text) != n or (text.blob.dtype, text.ends.dtype) != (np.uint8, np.int64) for text, n in texts):
            raise ValueError("text of another type or length")
        if any({len(each.kinds), len(each.values)} != {count} for each in self.fields.values()):
            raise ValueError("fields of another length")
