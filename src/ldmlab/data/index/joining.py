"""The scans of all shards joined to columns, one shard in memory at a time where they go to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.columns import Shard
from ldmlab.data.index.field_column import MOST_NAMES, NARROW, FieldColumn, Kind
from ldmlab.data.index.findings import to_line
from ldmlab.data.index.sample_table import NUMBERS, SampleTable
from ldmlab.data.index.text_column import TextColumn
from ldmlab.data.problems import Defect, Tally, added, tally
from ldmlab.data.shards.depth import Depth
from ldmlab.data.shards.shard_scan import ShardScan

MOST_WORDS = 2**16
"""Different strings of a key that a folder's column holds."""
TEXTS = ("keys", "captions", "lines")


class ScanFacts(NamedTuple):
    """What a join must know of a scan before it reads it.

    Attributes:
        stamp: see `stamps.stamp`.
        shard: its file, with the number of its samples.
        depth: what was looked at.
        tallies: its problems, counted.
        fields: type of the values, and words, of each key.
        lasting: only another file could give another scan.
    """

    stamp: str
    shard: Shard
    depth: Depth
    tallies: dict[Defect, Tally]
    fields: dict[str, tuple[str, tuple[str, ...]]]
    lasting: bool = True


class BrokenScanError(ValueError):
    """The stored scan of a shard is not what its facts say."""

    def __init__(self, shard: str) -> None:
        super().__init__(f"the stored scan of {shard} does not hold together")
        self.shard = shard


class Source(Protocol):
    """A scan that is held, or stored in a file."""

    facts: ScanFacts

    def scan(self) -> ShardScan:
        """Return it. BrokenScanError where it is not what the facts say."""


class Sink(Protocol):
    """Where columns go, piece by piece."""

    def column(self, name: str, dtype: Any, shape: tuple[int, ...]) -> Callable[[NDArray[Any]], None]:
        """Begin a column, and return what takes its rows (n, *shape)."""


class Joined(NamedTuple):
    """What is known of columns beside themselves.

    Attributes:
        shards: those with samples.
        words: of each key of the json.
        tallies: the problems, counted.
        depth: what was looked at in all of the shards.
        unread: shards that could not be read, but may be at another time.
    """

    shards: tuple[Shard, ...]
    words: dict[str, tuple[str, ...]]
    tallies: dict[Defect, Tally]
    depth: Depth
    unread: tuple[str, ...]


def facts_of(scan: ShardScan, name: str, stamp: str) -> ScanFacts:
    """What a join must know of a scan."""
    fields = {key: (column.values.dtype.str, column.words) for key, column in scan.table.fields.items()}
    shard = Shard(name, scan.size, scan.time, len(scan.table), scan.depth.checksums)
    return ScanFacts(stamp, shard, scan.depth, tally(scan.problems), fields, scan.lasting)


def join(sources: Sequence[Source], sink: Sink) -> Joined:
    """Write the columns of several scans one after the other.

    Raises:
        BrokenScanError: a stored scan is not what its facts say.
        OSError: the sink is full.
    """
    facts = [source.facts for source in sources]
    fields = _Fields(facts, sink)
    columns = {name: sink.column(name, dtype, shape) for name, (dtype, shape) in NUMBERS.items()}
    texts = {name: _TextSink(sink, name) for name in TEXTS}
    for source in sources:
        scan = source.scan()
        for name, append in columns.items():
            append(getattr(scan.table, name))
        texts["keys"].append(scan.table.keys)
        texts["captions"].append(scan.table.captions)
        texts["lines"].append(TextColumn.of(map(to_line, scan.problems)))
        fields.append(scan.table)
    shards = tuple(each.shard for each in facts if each.shard.samples)
    depth = Depth(*map(all, zip(*(each.depth for each in facts), strict=True)))
    unread = tuple(each.shard.name for each in facts if not each.lasting)
    return Joined(shards, fields.words(), added(each.tallies for each in facts), depth, unread)


class _TextSink:
    """Strings as one text and their ends in it."""

    def __init__(self, sink: Sink, name: str) -> None:
        self._blob, self._ends = sink.column(f"{name}_blob", np.uint8, ()), sink.column(f"{name}_ends", np.int64, ())
        self._size = 0

    def append(self, column: TextColumn) -> None:
        self._blob(column.blob)
        self._ends(column.ends + self._size)
        self._size += len(column.blob)


class _Fields:
    """The keys of the json: those that no json of a shard has are missing there."""

    def __init__(self, facts: Iterable[ScanFacts], sink: Sink) -> None:
        dtypes: dict[str, list[str]] = {}
        self._places: dict[str, dict[str, int]] = {}
        for scan in facts:
            for name, (dtype, words) in scan.fields.items():
                if name in dtypes or len(dtypes) < MOST_NAMES:
                    dtypes.setdefault(name, []).append(dtype)
                    _add(self._places.setdefault(name, {}), words)
        self._appends = {
            name: (sink.column(f"field_{number}_kinds", np.uint8, ()), sink.column(f"field_{number}_values", dtype, ()))
            for number, name in enumerate(dtypes)
            for dtype in [
                _widest({*dtypes[name], np.dtype(np.min_scalar_type(max(0, len(self._places[name]) - 1))).str})
            ]
        }

    def words(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(places) for name, places in self._places.items()}

    def append(self, table: SampleTable) -> None:
        nothing = np.zeros(len(table), np.uint8)
        for name, (kinds, values) in self._appends.items():
            found = table.fields.get(name)
            part = FieldColumn(nothing, nothing) if found is None else _renamed(found, self._places[name])
            kinds(part.kinds)
            values(part.values)


def _widest(dtypes: Iterable[str]) -> Any:
    """The narrowest type that has what all of these have."""
    return next(dtype for dtype in NARROW if all(np.can_cast(each, dtype) for each in dtypes))


def _add(places: dict[str, int], words: Iterable[str]) -> None:
    for word in words:
        if word not in places and len(places) < MOST_WORDS:
            places[word] = len(places)


def _renamed(column: FieldColumn, places: dict[str, int]) -> FieldColumn:
    """A shard's column with the places that its words have among those of all shards."""
    is_text = column.kinds == Kind.TEXT
    if not is_text.any():
        return column
    table = np.array([places.get(word, -1) for word in column.words])
    values = column.values.astype(np.float64)
    values[is_text] = table[column.values[is_text].astype(np.int64)]
    lost = is_text & (values < 0)
    return FieldColumn(np.where(lost, np.uint8(Kind.LONG_TEXT), column.kinds), np.where(lost, 0, values))
