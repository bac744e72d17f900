"""The offset table over unchanged img2dataset tars: random access to every usable sample, and an audit of the rest."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.building import Building
from ldmlab.data.index.columns import Columns
from ldmlab.data.index.entry import Entry, Span, Texts
from ldmlab.data.index.fields import Fields
from ldmlab.data.index.findings import Findings, Part
from ldmlab.data.index.fitness import Fitness, why_nothing_fits
from ldmlab.data.index.scanning import Progress
from ldmlab.data.index.selection import NOTHING, Mask, Rows, Selection, Told, of_rows, select
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Defect, Problem, told
from ldmlab.data.shards.depth import SHALLOW, Depth
from ldmlab.data.shards.labels import NONE
from ldmlab.data.shards.shard_files import ShardFiles
from ldmlab.data.shards.shard_folder import REMEDY, find_shards
from ldmlab.data.shards.shard_scan import MAX_PIXELS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardIndex:
    """All usable samples of a folder of tars, in the order of shard names and of samples within a shard.

    It holds no list that grows with the samples: columns and rows are mapped from files, where they could be stored.

    Attributes:
        root: the folder.
        columns: what was found of all samples whose picture can be read.
        selection: which of them the index holds.
        needs: what every sample has.
        found: what was found to be wrong, in parts.
    """

    root: Path
    columns: Columns
    selection: Selection
    needs: Needs = Needs()  # noqa: RUF009 - frozen
    found: tuple[Part, ...] = field(default=(), repr=False)

    @staticmethod
    def build(
        root: str | Path,
        cache: bool = True,
        store: bool = True,
        max_pixels: int = MAX_PIXELS,
        needs: Needs = Needs(),  # noqa: B008 - frozen
        progress: Progress = iter,
        workers: int = 1,
        depth: Depth = SHALLOW,
        on_bad_shard: str = "skip",
        tell: bool = True,
    ) -> ShardIndex:
        """Index a folder of `*.tar`; shards that have not changed since the index was stored are not read again.

        Whatever is wrong with a shard or a sample is among the `problems`, and the others are used.

        Args:
            root: the folder; the tars directly in it are read, in the order of their names.
            cache: keep what is found in `.ldmlab_index/` in the folder, or in the user's cache where it is read-only.
            store: false to take what is kept there, and write nothing.
            max_pixels: larger images are dropped unseen.
            needs: what every sample must have.
            progress: wraps the iteration over the shards that are read, as a progress bar does.
            workers: processes that read shards; more than one are spawned, so a script needs its `__name__` guard.
            depth: what is looked at beside headers, captions and json.
            on_bad_shard: "skip" names a shard that is truncated, empty or unreadable, "stop" refuses the folder.
            tell: say in the log what is wrong, in one line.

        Raises:
            ValueError: no folder, no tars, or not one usable sample; a bad shard that is to stop it.
        """
        root = Path(root)
        names, problems = find_shards(root)
        building = Building(cache, store, max_pixels, depth, workers, on_bad_shard, progress)
        building.require_good(root, Findings([Findings.of(problems)]).tallies)
        columns = building.columns(root, names)
        found = (columns.problems(), Findings.of(problems))
        if not len(columns):
            raise ValueError(f"the shards in {root} have no usable sample ({told(Findings(found).tallies)}): {REMEDY}")
        index = _having(columns, needs, found, cache and store)
        if index.problems and tell:
            log.warning("%s: %s", root, index.summary())
        return index

    def __len__(self) -> int:
        return len(self.columns) if self.rows is None else len(self.rows)

    def __getitem__(self, row: int) -> Entry:
        """Return sample `row`, 0 <= row < N. ValueError where the stored index is not that of these shards."""
        shard, image, image_size, meta, meta_size = self.columns.span(self._scanned(row))
        span = Span(meta, meta_size) if meta >= 0 else None
        return Entry(shard, self.keys[row], self.captions[row], self.label(row), Span(image, image_size), span)

    def __iter__(self) -> Iterator[Entry]:
        return (self[row] for row in range(len(self)))

    @property
    def rows(self) -> Rows:
        """(N,) the numbers of the samples among all that were scanned, which `fields` has; None for all of these."""
        return self.selection.rows

    @property
    def shards(self) -> tuple[str, ...]:
        """File names of the tars that hold samples."""
        return self.columns.names

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of the tars that hold samples."""
        return tuple(shard.size for shard in self.columns.shards)

    @property
    def keys(self) -> Texts:
        """Keys as WebDataset has them: a member's name up to the first dot; unique within a shard."""
        return Texts(self.columns.keys, self.rows)

    @property
    def captions(self) -> Texts:
        """The stripped text of KEY.txt, "" for none."""
        return Texts(self.columns.captions, self.rows)

    @property
    def fields(self) -> Fields:
        """The keys of the json of all scanned samples, as columns."""
        return Fields(self.columns)

    @cached_property
    def problems(self) -> Findings:
        """What was found to be wrong, sample by sample and shard by shard; read one by one from where it is stored."""
        return Findings(self.found)

    @property
    def fingerprint(self) -> str:
        """sha256 over the shards' names and sizes, and where the usable samples lie, their keys and captions.

        For manifests and caches. Pixels are not read: they show in the sizes of the compressed images.
        """
        return self.selection.fingerprint

    @property
    def stamp(self) -> str:
        """sha256 over the fingerprint and when each shard was written: other pixels have another one."""
        shards = [(shard.name, shard.size, shard.time) for shard in self.columns.shards]
        return hashlib.sha256(json.dumps([self.fingerprint, shards]).encode()).hexdigest()

    @property
    def labels_sha256(self) -> str:
        """SHA-256 of the labels of the usable samples, in order."""
        return self.selection.labels_sha256

    def count(self, defect: Defect) -> int:
        """Return how often a kind of problem was found."""
        return self.problems.tallies[defect].times if defect in self.problems.tallies else 0

    def summary(self) -> str:
        """Return one line: samples, shards, and each kind of problem with its count and first place."""
        return f"{self.counts()}, {told(self.problems.tallies)}"

    def counts(self) -> str:
        """Return how many samples and shards there are, in words."""
        return f"{len(self)} samples in {len(self.shards)} shard{'s' if len(self.shards) > 1 else ''}"

    def files(self) -> ShardFiles:
        """Return the shards to read from, as they were when they were indexed."""
        return self.columns.files()

    def label(self, row: int) -> int | None:
        """Return a sample's class number; None where it has none."""
        label = self.columns.label(self._scanned(row))
        return None if label == NONE else label

    def checksum(self, row: int) -> int | None:
        """Return the crc32 of a sample's image; None where the audit did not compute it."""
        return self.columns.checksum(self._scanned(row))

    def meta(self, row: int, files: ShardFiles) -> dict[str, Any]:
        """Read a sample's json; an empty dict where it has none. ValueError where it is not as it was indexed."""
        return self.columns.meta(self._scanned(row), files)

    def problem(self, row: int, defect: Defect, detail: str = "") -> Problem:
        """Something that is wrong with a sample."""
        return self.columns.problem(self._scanned(row), defect, detail)

    def having(self, needs: Needs, store: bool = True) -> ShardIndex:
        """Return the samples that have what is needed, of all that were scanned. ValueError where none has."""
        return _having(self.columns, needs, self.found[:2], store)  # of shards and folder, not of other needs

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> ShardIndex:
        """Return some of the samples, in the order given."""
        chosen = np.asarray(rows, np.int64)
        return replace(self, selection=of_rows(self.columns, chosen if self.rows is None else self.rows[chosen]))

    def holds(self, start: int, stop: int) -> NDArray[np.bool]:
        """Which of the scanned samples from `start` to `stop` are among the index's (stop - start,)."""
        if self.rows is None:
            return np.ones(stop - start, np.bool)
        held = np.zeros(stop - start, np.bool)
        first, last = np.searchsorted(self.rows, [start, stop])
        held[self.rows[first:last] - start] = True
        return held

    def where(self, recipe: str, mask: Mask, note: Callable[[], Any] = NOTHING.note, store: bool = True) -> ShardIndex:
        """Return the samples that a mask over the scanned ones keeps; which they are is stored beside the columns.

        Args:
            recipe: what decides the mask, as a text: the same one is not computed again.
            mask: (start, stop) -> which of the scanned samples from `start` to `stop` are kept (stop - start,).
            note: what else to keep, as plain JSON, asked for after the mask: `selection.note` of what is returned.
            store: keep it, where the index is kept.
        """

        def both(start: int, stop: int) -> NDArray[np.bool]:
            return mask(start, stop) & self.holds(start, stop)

        recipes = json.dumps([self.selection.recipe, recipe])
        return replace(self, selection=select(self.columns, recipes, both, Told(note=note), store))

    def scanned(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of some samples, by their rows, among all that were scanned (n,)."""
        return rows if self.rows is None else self.rows[rows]

    def places(self, scanned: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of some samples of the index, by their numbers among all that were scanned (n,)."""
        return scanned if self.rows is None else np.searchsorted(self.rows, scanned)

    def _scanned(self, row: int) -> int:
        """The number of a sample among all that were scanned."""
        scanned = int(row if self.rows is None else self.rows[row])
        if not 0 <= scanned < len(self.columns):
            raise ValueError(self.columns.unfit(0, f"sample {row}"))
        return scanned


def _having(columns: Columns, needs: Needs, found: tuple[Part, ...], store: bool) -> ShardIndex:
    fitness = Fitness(columns, needs)
    selection = fitness.select(store)
    index = ShardIndex(columns.root, columns, selection, needs, (*found, fitness.part(selection)))
    if not len(index):
        raise ValueError(why_nothing_fits(columns, needs, index.problems.tallies))
    return index
