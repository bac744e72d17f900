"""Which of the scanned samples an index holds: found in chunks, kept beside the columns, mapped where it is read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ldmlab.atomic import atomic_file
from ldmlab.data.index.columns import Columns
from ldmlab.data.index.findings import tallies_from, to_plain
from ldmlab.data.index.fingerprints import fingerprint, labels_sha256
from ldmlab.data.index.npy_file import NpyWriter, map_npy
from ldmlab.data.index.stored_json import read_json, store_json
from ldmlab.data.problems import Defect, Tally

log = logging.getLogger(__name__)
Rows = NDArray[np.int64] | None
Mask = Callable[[int, int], NDArray[np.bool]]
"""Which of the scanned samples from one to another are kept."""
MOST_FACTS_BYTES = 2**22


@dataclass(frozen=True)
class Selection:
    """Some of the scanned samples.

    Attributes:
        rows: (N,) their numbers among all that were scanned; None for all of these.
        recipe: what chose them.
        tallies: what is wrong with the others, counted.
        fingerprint: see `ShardIndex.fingerprint`.
        labels_sha256: SHA-256 of their labels.
        note: what else is kept beside them, as plain JSON.
        reopen: opens the same again in another process, where it is mapped from a file.
    """

    rows: Rows
    recipe: str
    tallies: dict[Defect, Tally]
    fingerprint: str
    labels_sha256: str
    note: Any = None
    reopen: tuple[Any, ...] | None = field(default=None, compare=False)

    def __reduce__(self) -> Any:
        own = (self.rows, self.recipe, self.tallies, self.fingerprint, self.labels_sha256, self.note)
        return (Selection, own) if self.reopen is None else (_open, self.reopen)


class Told(NamedTuple):
    """What is told of a selection once its mask has been asked for all samples.

    Attributes:
        tallies: counts what is wrong with the samples that are left out.
        note: what else is kept, as plain JSON.
    """

    tallies: Callable[[], Mapping[Defect, Tally]] = dict
    note: Callable[[], Any] = lambda: None


NOTHING = Told()


def select(columns: Columns, recipe: str, mask: Mask, told: Told = NOTHING, store: bool = True) -> Selection:
    """Return the scanned samples that a mask keeps, as stored, or found now and stored.

    Args:
        columns: of all scanned samples.
        recipe: what decides the mask, whatever the columns: the same recipe is the same mask.
        mask: (start, stop) -> which of the samples between are kept (stop - start,).
        told: what to tell of it.
        store: keep it beside the columns, where these are stored.
    """
    path = None if columns.folder is None else columns.folder / name_of(recipe)
    if path is not None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            return _open(path, recipe, len(columns))
    if path is not None and store:
        try:
            _write(path, columns, recipe, mask, told)
            return _open(path, recipe, len(columns))
        except OSError as error:
            log.info("%s is kept in memory alone: %s", path, error)
    parts = [start + np.flatnonzero(mask(start, stop)) for start, stop in columns.chunks()]
    rows = np.concatenate([np.empty(0, np.int64), *parts])
    return _described(columns, None if len(rows) == len(columns) else rows, recipe, told)


def name_of(recipe: str) -> str:
    """What the files of a selection are called, without their ends."""
    return f"selection-{hashlib.sha256(recipe.encode()).hexdigest()[:32]}"


def of_rows(columns: Columns, rows: Rows) -> Selection:
    """The samples of these numbers, in this order."""
    return _described(columns, rows, "", NOTHING)


def _described(columns: Columns, rows: Rows, recipe: str, told: Told) -> Selection:
    return Selection(
        rows, recipe, dict(told.tallies()), fingerprint(columns, rows), labels_sha256(columns, rows), told.note()
    )


def _write(path: Path, columns: Columns, recipe: str, mask: Mask, told: Told) -> None:
    """The rows chunk by chunk, then what is said of them."""
    numbers = path.with_suffix(".npy")
    with atomic_file(numbers) as file:
        writer = NpyWriter(file, np.int64)
        for start, stop in columns.chunks():
            writer.append(start + np.flatnonzero(mask(start, stop)))
        writer.finish()
    are_all = writer.rows == len(columns)
    found = _described(columns, None if are_all else map_npy(numbers), recipe, told)
    if are_all:
        numbers.unlink()
    facts = {"recipe": recipe, "all": are_all, "count": writer.rows, "tallies": to_plain(found.tallies)}
    facts |= {"note": found.note}
    store_json(path.with_suffix(".json"), facts | {"fingerprint": found.fingerprint, "labels": found.labels_sha256})


def _open(path: Path, recipe: str, size: int) -> Selection:
    """Map a stored selection. OSError, ValueError, KeyError or TypeError where there is none that fits."""
    facts = read_json(path.with_suffix(".json"), MOST_FACTS_BYTES)
    rows = None if facts["all"] else map_npy(path.with_suffix(".npy"))
    if facts["recipe"] != recipe or (rows is not None and (rows.dtype, rows.shape) != (np.int64, (facts["count"],))):
        raise ValueError("another selection")
    if rows is not None and len(rows) and not (0 <= rows[0] <= rows[-1] < size and _rise(rows[:1024])):
        raise ValueError("samples that are not there")
    tallies, told = tallies_from(facts["tallies"]), (str(facts["fingerprint"]), str(facts["labels"]))
    return Selection(rows, recipe, tallies, *told, facts["note"], reopen=(path, recipe, size))


def _rise(rows: NDArray[np.int64]) -> bool:
    return bool((np.diff(rows) > 0).all())
