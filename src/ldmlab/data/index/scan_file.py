"""What a scan found in one shard, in a file: plain arrays, neither pickled nor compressed.

Whoever made the folder may have made this file too. So it is read as the tars are, as a stranger's: it can say no more
than they could, and is no larger in memory than on the disk.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ldmlab.atomic import atomic_file
from ldmlab.data.index.columns import Shard
from ldmlab.data.index.field_column import NARROW, FieldColumn
from ldmlab.data.index.findings import from_line, tallies_from, to_line, to_plain
from ldmlab.data.index.joining import BrokenScanError, ScanFacts, facts_of
from ldmlab.data.index.sample_table import NUMBERS, SampleTable
from ldmlab.data.index.text_column import TextColumn
from ldmlab.data.shards.depth import Depth
from ldmlab.data.shards.shard_scan import ShardScan
from ldmlab.files import open_regular

Arrays = dict[str, NDArray[Any]]
FACTS = "facts"


class HeldScan:
    """A scan in memory."""

    def __init__(self, scan: ShardScan, name: str, stamp: str) -> None:
        self._scan, self.facts = scan, facts_of(scan, name, stamp)

    def scan(self) -> ShardScan:
        """Return it."""
        return self._scan


class StoredScan:
    """A scan in a file.

    Args:
        path: of the file.

    Raises:
        OSError: there is none.
        ValueError: it is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _opened(path) as stored:
            self.facts = _facts_from(json.loads(stored[FACTS].tobytes()))

    def scan(self) -> ShardScan:
        """Return it. BrokenScanError where the file does not hold together."""
        name, stamp = self.facts.shard.name, self.facts.stamp
        try:
            with _opened(self._path) as stored:
                scan = _unpack({name: stored[name] for name in stored.files}, self.facts)
        except (OSError, ValueError) as error:
            raise BrokenScanError(name) from error
        if facts_of(scan, name, stamp) != self.facts:
            raise BrokenScanError(name)
        return scan


def save_scan(path: Path, held: HeldScan) -> None:
    """Store a scan, atomically. OSError where it cannot be written."""
    scan = held.scan()
    arrays: Arrays = {name: getattr(scan.table, name) for name in NUMBERS}
    lines = TextColumn.of(map(to_line, scan.problems))
    for name, text in (("keys", scan.table.keys), ("captions", scan.table.captions), ("lines", lines)):
        arrays |= {f"{name}_blob": text.blob, f"{name}_ends": text.ends}
    for number, field in enumerate(scan.table.fields.values()):
        arrays |= {f"field_{number}_kinds": field.kinds, f"field_{number}_values": field.values}
    arrays[FACTS] = np.frombuffer(json.dumps(_facts_to(held.facts)).encode(), np.uint8)
    with atomic_file(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A file's arrays. ValueError where it is damaged, or would be larger in memory than on the disk."""
    with open_regular(path) as file:
        try:
            _require_plain(file)
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                yield stored
        except OSError:
            raise
        except Exception as error:  # a damaged zip raises anything from BadZipFile to MemoryError
            raise ValueError(f"{path} is damaged: {error}") from error


def _require_plain(file: BinaryIO) -> None:
    """Refuse an archive whose members are compressed, or overlap."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        size = file.seek(0, 2)
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed")
        if sum(member.file_size for member in members) > size:
            raise ValueError("its parts overlap")


def _unpack(arrays: Arrays, facts: ScanFacts) -> ShardScan:
    texts = {name: TextColumn(arrays[f"{name}_blob"], arrays[f"{name}_ends"]) for name in ("keys", "captions", "lines")}
    lines = texts.pop("lines")
    lines.check()
    fields = {
        name: FieldColumn(arrays[f"field_{number}_kinds"], arrays[f"field_{number}_values"], words)
        for number, (name, (_, words)) in enumerate(facts.fields.items())
    }
    numbers: dict[str, Any] = {name: arrays[name] for name in NUMBERS}
    table = SampleTable(**numbers, keys=texts["keys"], captions=texts["captions"], fields=fields)
    table.check(facts.shard.size)
    return ShardScan(table, list(map(from_line, lines)), facts.shard.size, facts.shard.time, depth=facts.depth)


def _facts_to(facts: ScanFacts) -> list[Any]:
    stamp, shard, depth, tallies, fields, _ = facts
    return [
        stamp,
        shard.name,
        shard.size,
        shard.time,
        shard.samples,
        list(depth),
        to_plain(tallies),
        list(fields.items()),
    ]


def _facts_from(content: Any) -> ScanFacts:
    stamp, name, size, time, samples, depth, tallies, fields = content
    read = {str(key): (str(dtype), tuple(map(str, words))) for key, (dtype, words) in fields}
    if any(np.dtype(dtype) not in NARROW for dtype, _ in read.values()):
        raise ValueError("values of another type")
    looked = Depth(*map(bool, depth))
    shard = Shard(str(name), int(size), int(time), int(samples), looked.checksums)
    return ScanFacts(str(stamp), shard, looked, tallies_from(tallies), read)
