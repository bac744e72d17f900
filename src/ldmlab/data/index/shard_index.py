"""The offset table over unchanged img2dataset tars: random access to every usable sample, and an audit of the rest."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index import index_cache
from ldmlab.data.index.fitness import fit_rows, flaws, why_nothing_fits
from ldmlab.data.index.json_keys import with_keys
from ldmlab.data.index.sample_table import SampleTable
from ldmlab.data.index.text_column import TextColumn
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Defect, Problem, summarise
from ldmlab.data.shards.labels import NONE
from ldmlab.data.shards.shard_files import ShardFiles
from ldmlab.data.shards.shard_folder import REMEDY, Progress, find_shards, scan_shards
from ldmlab.data.shards.shard_scan import MAX_PIXELS, ShardScan

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Span:
    """`size` bytes from byte `offset` of a shard."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A usable sample: its key, caption ("" for none) and label, and where in shard number `shard` its parts lie."""

    shard: int
    key: str
    caption: str
    label: int | None
    image: Span
    meta: Span | None


@dataclass(frozen=True)
class ShardIndex:
    """All usable samples of a folder of tars, in the order of shard names and of samples within a shard.

    Attributes:
        root: the folder.
        shards: file names of the tars that hold samples; `sizes` are their bytes, `times` when they were written (ns).
        spans: (N, 5) of shard number, image offset, image bytes, json offset, json bytes (-1, 0 without a json).
        keys: of WebDataset: the members' name up to the first dot; unique within a shard.
        captions: the stripped text of KEY.txt, "" for none.
        labels: (N,) KEY.cls or `label` in KEY.json, -1 for none.
        problems: what was found to be wrong, sample by sample and shard by shard.
        needs: what every sample has.
    """

    root: Path
    shards: tuple[str, ...]
    sizes: tuple[int, ...]
    times: tuple[int, ...]
    spans: NDArray[np.int64]
    keys: TextColumn
    captions: TextColumn
    labels: NDArray[np.int64]
    problems: tuple[Problem, ...]
    needs: Needs

    @staticmethod
    def build(
        root: str | Path,
        cache: bool = True,
        store: bool = True,
        keep: Callable[[dict[str, Any]], bool] | None = None,
        max_pixels: int = MAX_PIXELS,
        needs: Needs = Needs(),  # noqa: B008 - frozen
        progress: Progress = iter,
    ) -> ShardIndex:
        """Index a folder of `*.tar`; shards that have not changed since the index was stored are not read again.

        Whatever is wrong with a shard or a sample is among the `problems`, and the others are used.

        Args:
            root: the folder; the tars directly in it are read, in the order of their names.
            cache: keep the scans in `.ldmlab_index.npz` in the folder (silently not, where it is read-only).
            store: false to take those that are kept there, and write nothing.
            keep: a filter on a sample's json (an empty dict where it has none).
            max_pixels: larger images are dropped unseen.
            needs: what every sample must have.
            progress: wraps the iteration over the shards that are read, as a progress bar does.

        Raises:
            ValueError: no folder, no tars, or not one usable sample.
        """
        root = Path(root)
        paths, problems = find_shards(root)
        scans = scan_shards(root, paths, max_pixels, cache, store, progress)
        index = _assemble(root, scans, problems, needs)
        index = with_keys(index, needs.json) if needs.json else index
        if index.problems:
            log.warning("%s: %s", root, index.summary())
        return index if keep is None else index.filter(keep)

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, row: int) -> Entry:
        """Return sample `row`, 0 <= row < N."""
        shard, image, image_size, meta, meta_size = map(int, self.spans[row])
        span = Span(meta, meta_size) if meta >= 0 else None
        return Entry(shard, self.keys[row], self.captions[row], self.label(row), Span(image, image_size), span)

    def __iter__(self) -> Iterator[Entry]:
        return (self[row] for row in range(len(self)))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the shards' names and sizes, and where the usable samples lie, their keys and captions.

        For manifests and caches. Pixels are not read: they show in the sizes of the compressed images.
        """
        digest = hashlib.sha256(json.dumps([self.shards, self.sizes]).encode())
        for part in (self.spans, self.keys.ends, self.keys.blob, self.captions.ends, self.captions.blob):
            digest.update(part.tobytes())
        return digest.hexdigest()

    @cached_property
    def labels_sha256(self) -> str:
        """SHA-256 of the labels of the usable samples, in order."""
        return hashlib.sha256(self.labels.tobytes()).hexdigest()

    def count(self, defect: Defect) -> int:
        """Return how often a kind of problem was found."""
        return sum(problem.defect is defect for problem in self.problems)

    def summary(self) -> str:
        """Return one line: samples, shards, and each kind of problem with its count and first place."""
        shards = f"{len(self.shards)} shard{'s' if len(self.shards) > 1 else ''}"
        return f"{len(self)} samples in {shards}, {summarise(self.problems)}"

    def files(self) -> ShardFiles:
        """Return the shards to read from, as they were when they were indexed."""
        return ShardFiles(self.root, self.shards, tuple(zip(self.sizes, self.times, strict=True)))

    def label(self, row: int) -> int | None:
        """Return a sample's class number; None where it has none."""
        label = int(self.labels[row])
        return None if label == NONE else label

    def meta(self, row: int, files: ShardFiles) -> dict[str, Any]:
        """Read a sample's json; an empty dict where it has none. ValueError where it is not as it was indexed."""
        shard, _, _, offset, size = map(int, self.spans[row])
        if offset < 0:
            return {}
        payload = files.read(shard, offset, size)
        try:
            content = json.loads(payload)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            where = f"{self.root / self.shards[shard]}: the json of {self.keys[row]} is not where the index has it"
            raise ValueError(f"{where}: delete {index_cache.NAME} in that folder")
        return content

    def filter(self, keep: Callable[[dict[str, Any]], bool]) -> ShardIndex:
        """Return the samples whose json passes. ValueError where none does."""
        files = self.files()
        rows = [row for row in range(len(self)) if keep(self.meta(row, files))]
        if not rows:
            raise ValueError(f"the filter keeps none of the {len(self)} samples in {self.root}: loosen it")
        return self.select(rows)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> ShardIndex:
        """Return some of the samples, in the order given."""
        rows = np.asarray(rows, np.int64)
        return replace(
            self,
            spans=self.spans[rows],
            keys=self.keys.select(rows),
            captions=self.captions.select(rows),
            labels=self.labels[rows],
        )


def _assemble(root: Path, scans: Mapping[Path, ShardScan], problems: list[Problem], needs: Needs) -> ShardIndex:
    problems = [problem for scan in scans.values() for problem in scan.problems] + problems
    usable = {path: scan.table for path, scan in scans.items() if len(scan.table)}
    if not usable:
        raise ValueError(f"the shards in {root} have no usable sample ({summarise(problems)}): {REMEDY}")
    table = SampleTable.joined(list(usable.values()))
    shards = np.repeat(np.arange(len(usable)), [len(each) for each in usable.values()])
    names = tuple(path.name for path in usable)
    index = ShardIndex(
        root=root,
        shards=names,
        sizes=tuple(scans[path].size for path in usable),
        times=tuple(scans[path].time for path in usable),
        spans=np.column_stack([shards, table.spans]),
        keys=table.keys,
        captions=table.captions,
        labels=table.labels,
        problems=(*problems, *flaws(table, shards, names, needs)),
        needs=needs,
    )
    rows = fit_rows(table, needs)
    if not len(rows):
        raise ValueError(why_nothing_fits(root, table, index.problems, needs))
    return index if len(rows) == len(index) else index.select(rows)
