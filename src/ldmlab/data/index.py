"""The offset table over unchanged img2dataset tars: random access to every usable sample, and an audit of the rest."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ldmlab.data import index_cache
from ldmlab.data.problems import Defect, Problem, summarise
from ldmlab.data.shard_files import ShardFiles
from ldmlab.data.shard_scan import MAX_PIXELS, Entry, ShardScan, Span, scan_shard
from ldmlab.data.text_column import TextColumn

log = logging.getLogger(__name__)
ARRAYS = ("spans", "key_blob", "key_ends", "caption_blob", "caption_ends", "problem_blob", "problem_ends")
REMEDY = "write shards with `ldmlab data dataset=shapes`, or give a folder of img2dataset tars"


@dataclass(frozen=True)
class ShardIndex:
    """All usable samples of a folder of tars, in the order of shard names and of samples within a shard.

    Attributes:
        root: the folder.
        shards: file names of the tars; `sizes` are their bytes.
        spans: (N, 5) of shard number, image offset, image bytes, json offset, json bytes (-1, 0 without a json).
        keys: of WebDataset: the members' name up to the first dot; unique.
        captions: the stripped text of KEY.txt.
        problems: what was found to be wrong, sample by sample.
    """

    root: Path
    shards: tuple[str, ...]
    sizes: tuple[int, ...]
    spans: NDArray[np.int64]
    keys: TextColumn
    captions: TextColumn
    problems: tuple[Problem, ...]

    @staticmethod
    def build(
        root: str | Path,
        cache: bool = True,
        keep: Callable[[dict[str, Any]], bool] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> ShardIndex:
        """Index a folder of `*.tar`, or load the stored index if no tar has changed since.

        Args:
            root: the folder; the tars directly in it are read, in the order of their names.
            cache: keep the index in `.ldmlab_index.npz` in the folder (silently not, where it is read-only).
            keep: a filter on a sample's json (an empty dict where it has none).
            max_pixels: larger images are dropped unseen.

        Raises:
            ValueError: no folder, no tars, an empty or truncated tar, or not one usable sample.
        """
        paths = _find_shards(Path(root))
        stamp = index_cache.stamp(paths, max_pixels)
        arrays = index_cache.load(Path(root), stamp, ARRAYS) if cache else None
        if arrays is None:
            arrays = _scan(Path(root), paths, max_pixels)
            if cache:
                index_cache.save(Path(root), stamp, arrays)
        index = _from_arrays(Path(root), paths, arrays)
        if index.problems:
            log.warning("%s: %s", root, index.summary())
        return index if keep is None else index.filter(keep)

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, row: int) -> Entry:
        """Return sample `row`, 0 <= row < N."""
        shard, image, image_size, meta, meta_size = map(int, self.spans[row])
        span = Span(meta, meta_size) if meta >= 0 else None
        return Entry(shard, self.keys[row], self.captions[row], Span(image, image_size), span)

    def __iter__(self) -> Iterator[Entry]:
        return (self[row] for row in range(len(self)))

    @property
    def fingerprint(self) -> str:
        """sha256 over the shards' names and sizes, and where the usable samples lie, their keys and captions.

        For manifests and caches. Pixels are not read: they show in the sizes of the compressed images.
        """
        digest = hashlib.sha256(json.dumps([self.shards, self.sizes]).encode())
        for part in (self.spans, self.keys.ends, self.keys.blob, self.captions.ends, self.captions.blob):
            digest.update(part.tobytes())
        return digest.hexdigest()

    def count(self, defect: Defect) -> int:
        """Return how often a kind of problem was found."""
        return sum(problem.defect is defect for problem in self.problems)

    def summary(self) -> str:
        """Return one line: samples, shards, and each kind of problem with its count and first place."""
        shards = f"{len(self.shards)} shard{'s' if len(self.shards) > 1 else ''}"
        return f"{len(self)} samples in {shards}, {summarise(self.problems)}"

    def meta(self, row: int, files: ShardFiles) -> dict[str, Any]:
        """Read a sample's json; an empty dict where it has none."""
        shard, _, _, offset, size = map(int, self.spans[row])
        return json.loads(files.read(shard, offset, size)) if offset >= 0 else {}

    def filter(self, keep: Callable[[dict[str, Any]], bool]) -> ShardIndex:
        """Return the samples whose json passes. ValueError where none does."""
        files = ShardFiles(self.root, self.shards)
        rows = [row for row in range(len(self)) if keep(self.meta(row, files))]
        if not rows:
            raise ValueError(f"the filter keeps none of the {len(self)} samples in {self.root}: loosen it")
        return self.select(rows)

    def select(self, rows: Sequence[int]) -> ShardIndex:
        """Return some of the samples, in the order given."""
        return replace(
            self, spans=self.spans[list(rows)], keys=self.keys.select(rows), captions=self.captions.select(rows)
        )


def _find_shards(root: Path) -> list[Path]:
    if not root.is_dir():
        raise ValueError(f"data folder {root} does not exist: {REMEDY}")
    paths = sorted(path for path in root.glob("*.tar") if not path.name.startswith("."))
    if not paths:
        raise ValueError(f"data folder {root} has no shards (*.tar): {REMEDY}")
    return paths


def _scan(root: Path, paths: list[Path], max_pixels: int) -> dict[str, NDArray[Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        scans = [scan_shard(path, number, max_pixels) for number, path in enumerate(paths)]
    problems = [problem for scan in scans for problem in scan.problems] + _unfinished(paths)
    entries, duplicates = _first_of_each_key(scans, paths)
    problems += duplicates
    if not entries:
        raise ValueError(_why_nothing_usable(root, problems))
    _refuse_truncated(root, problems)
    keys, captions = (TextColumn.of(getattr(entry, name) for entry in entries) for name in ("key", "caption"))
    lines = TextColumn.of(json.dumps([problem.defect, problem.shard, problem.key]) for problem in problems)
    spans = np.array([_row(entry) for entry in entries], np.int64)
    columns = keys.blob, keys.ends, captions.blob, captions.ends, lines.blob, lines.ends
    return dict(zip(ARRAYS, (spans, *columns), strict=True))


def _from_arrays(root: Path, paths: list[Path], arrays: dict[str, NDArray[Any]]) -> ShardIndex:
    spans, *columns = (arrays[name] for name in ARRAYS)
    keys, captions, lines = (TextColumn(*columns[at : at + 2]) for at in (0, 2, 4))
    problems = (json.loads(line) for line in lines)
    return ShardIndex(
        root=root,
        shards=tuple(path.name for path in paths),
        sizes=tuple(path.stat().st_size for path in paths),
        spans=spans,
        keys=keys,
        captions=captions,
        problems=tuple(Problem(Defect(kind), shard, key) for kind, shard, key in problems),
    )


def _row(entry: Entry) -> tuple[int, int, int, int, int]:
    meta = entry.meta or Span(-1, 0)
    return entry.shard, entry.image.offset, entry.image.size, meta.offset, meta.size


def _first_of_each_key(scans: list[ShardScan], paths: list[Path]) -> tuple[list[Entry], list[Problem]]:
    entries: dict[str, Entry] = {}
    duplicates = []
    for entry in (entry for scan in scans for entry in scan.entries):
        if entries.setdefault(entry.key, entry) is not entry:
            duplicates.append(Problem(Defect.DUPLICATE_KEY, paths[entry.shard].name, entry.key))
    return list(entries.values()), duplicates


def _unfinished(paths: list[Path]) -> list[Problem]:
    """img2dataset writes NAME_stats.json last: where other shards have one, a shard without it was interrupted."""
    missing = [path for path in paths if not path.with_name(f"{path.stem}_stats.json").exists()]
    if len(missing) == len(paths):
        return []
    return [Problem(Defect.UNFINISHED_SHARD, path.name) for path in missing]


def _refuse_truncated(root: Path, problems: list[Problem]) -> None:
    for problem in problems:
        if problem.defect is Defect.TRUNCATED_SHARD:
            raise ValueError(
                f"shard {root / problem.shard} is truncated at {problem.key}, and what came after is lost: fetch or"
                " write it again, or move it away to go on without it"
            )


def _why_nothing_usable(root: Path, problems: list[Problem]) -> str:
    if {problem.defect for problem in problems} <= {Defect.MISSING_CAPTION, Defect.IGNORED_MEMBER}:
        return f"the shards in {root} have no captions (KEY.txt beside KEY.jpg): {REMEDY}"
    return f"the shards in {root} have no usable sample ({summarise(problems)}): {REMEDY}"
