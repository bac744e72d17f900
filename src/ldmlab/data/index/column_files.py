"""Joined columns in a folder of .npy files, mapped where they are read; and the same in memory where nothing is stored.

Nobody reads all of what is stored in every start: what a small index holds is checked when it is opened, of a large one
each sample when it is read.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.columns import Columns, Shard
from ldmlab.data.index.field_column import FieldColumn
from ldmlab.data.index.findings import tallies_from, to_plain
from ldmlab.data.index.joining import TEXTS, Joined, Source, join
from ldmlab.data.index.npy_file import NpyWriter, map_npy
from ldmlab.data.index.sample_table import NUMBERS
from ldmlab.data.index.stored_json import read_json, store_json
from ldmlab.data.index.text_column import TextColumn
from ldmlab.data.shards.depth import Depth

FACTS = "facts.json"
NAMES = ("shards", "words", "tallies", "depth", "unread", "sums")
MOST_FACTS_BYTES = 2**30
CHECKED_BYTES = 2**26
"""Of columns that are read and checked whenever they are opened, about a quarter of a million samples."""


def columns_in_memory(root: Path, sources: Sequence[Source]) -> Columns:
    """Join scans in memory. BrokenScanError as `join`."""
    sink = _Memory()
    joined = join(sources, sink)
    return _columns(root, joined, {name: np.concatenate(parts) for name, parts in sink.parts.items()})


def write_columns(folder: Path, sources: Sequence[Source], token: str) -> None:
    """Join scans into files; the folder is there when all of them are.

    Args:
        folder: that is made, or made anew.
        sources: the scans.
        token: distinguishes the temporary folder from those of other processes.

    Raises:
        OSError: it cannot be written; nothing half-written is left.
        BrokenScanError: as `join`.
    """
    temporary = folder.with_name(f".{folder.name}.{token}.tmp")
    temporary.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            sink = _Files(temporary, stack)
            joined = join(sources, sink)
            store_json(temporary / FACTS, _facts_to(joined, sink.finish()))
        if not _is_as_deep(folder, joined.depth):
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_as_deep(folder: Path, depth: Depth) -> bool:
    """Whether another process has stored the columns meanwhile, which may be in use; where locks are not shared."""
    try:
        return open_columns(folder, folder).depth.covers(depth)
    except (OSError, ValueError):
        return False


def open_columns(folder: Path, root: Path) -> Columns:
    """Map stored columns.

    Args:
        folder: that holds them.
        root: the folder of shards.

    Raises:
        OSError: they are not there.
        ValueError: they do not hold together, as far as was looked at.
    """
    facts = read_json(folder / FACTS, MOST_FACTS_BYTES)
    try:
        joined, sums = _facts_from(facts)
        arrays = {name: map_npy(folder / f"{name}.npy") for name in sums}
        columns = _columns(root, joined, arrays, folder)
        columns.require_shapes()
        if sum(each.nbytes for each in arrays.values()) <= CHECKED_BYTES:
            if sums != {name: _crc32(array) for name, array in arrays.items()}:
                raise ValueError("columns that were changed")
            columns.check()
    except (KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{folder}: {error!r}") from error
    return columns


def _columns(root: Path, joined: Joined, arrays: dict[str, NDArray[Any]], folder: Path | None = None) -> Columns:
    texts = {name: TextColumn(arrays[f"{name}_blob"], arrays[f"{name}_ends"]) for name in TEXTS}
    fields = {
        name: FieldColumn(arrays[f"field_{number}_kinds"], arrays[f"field_{number}_values"], words)
        for number, (name, words) in enumerate(joined.words.items())
    }
    numbers = {name: arrays[name] for name in NUMBERS}
    return Columns(
        root,
        joined.shards,
        numbers,
        fields=fields,
        tallies=joined.tallies,
        depth=joined.depth,
        unread=joined.unread,
        folder=folder,
        **texts,
    )


class _Memory:
    """Columns as lists of their parts."""

    def __init__(self) -> None:
        self.parts: dict[str, list[NDArray[Any]]] = {}

    def column(self, name: str, dtype: Any, shape: tuple[int, ...]) -> Callable[[NDArray[Any]], None]:
        parts = self.parts[name] = [np.empty((0, *shape), dtype)]
        return lambda rows: parts.append(rows.astype(dtype, copy=False))


class _Files:
    """Columns as files that are written piece by piece."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack, self._writers = folder, stack, dict[str, NpyWriter]()

    def column(self, name: str, dtype: Any, shape: tuple[int, ...]) -> Callable[[NDArray[Any]], None]:
        file = self._stack.enter_context(open(self._folder / f"{name}.npy", "xb"))  # noqa: SIM115
        self._writers[name] = NpyWriter(file, dtype, shape)
        return self._writers[name].append

    def finish(self) -> dict[str, int]:
        """Bring all to the disk, and return the crc32 of each column."""
        are_checked = sum(writer.size for writer in self._writers.values()) <= CHECKED_BYTES
        for writer in self._writers.values():
            writer.finish(sync=not are_checked)
        return {name: writer.crc32 for name, writer in self._writers.items()}


def _crc32(array: NDArray[Any]) -> int:
    return zlib.crc32(array.data) if array.size else 0


def _facts_to(joined: Joined, sums: dict[str, int]) -> dict[str, Any]:
    shards = [[each.name, each.size, each.time, each.samples, each.has_checksums] for each in joined.shards]
    content = {"shards": shards, "words": list(joined.words.items()), "tallies": to_plain(joined.tallies)}
    content |= {"depth": list(joined.depth), "unread": list(joined.unread), "sums": sums}
    return content | {"crc32": _crc32_of(content)}


def _facts_from(content: dict[str, Any]) -> tuple[Joined, dict[str, int]]:
    """What `_facts_to` wrote. KeyError, TypeError or ValueError where it did not."""
    own = {name: content[name] for name in NAMES}
    if content["crc32"] != _crc32_of(own):
        raise ValueError("facts that were changed")
    shards = tuple(
        Shard(str(name), int(size), int(time), int(samples), bool(checked))
        for name, size, time, samples, checked in own["shards"]
    )
    if any("/" in each.name or each.samples < 1 or each.size < 0 for each in shards):
        raise ValueError("shards that are none")
    words = {str(name): tuple(map(str, each)) for name, each in own["words"]}
    if any("/" in name for name in own["sums"]):
        raise ValueError("columns elsewhere")
    depth, unread = Depth(*map(bool, own["depth"])), tuple(map(str, own["unread"]))
    return Joined(shards, words, tallies_from(own["tallies"]), depth, unread), own["sums"]


def _crc32_of(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content).encode())
