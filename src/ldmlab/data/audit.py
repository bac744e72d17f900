"""Look at all shards of a data set, index them, and name in a table all that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.removal import Removal
from ldmlab.data.filters.selecting import filtered
from ldmlab.data.folders import heldout_folder, train_folder
from ldmlab.data.index.scanning import Progress
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.laion.report import reasons
from ldmlab.data.laion.shard_stats import DoneShards, ShardStats
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Problem, kinds, total, write_problems
from ldmlab.data.shards.depth import SHALLOW, Depth

REPORT = "audit.csv"


@dataclass(frozen=True)
class Audited:
    """One folder of shards: its index, and what `_stats.json` of img2dataset say of it; as text, lines for people.

    Attributes:
        index: of the samples that can be used.
        stats: of all shards together.
        removal: what a filter would leave out.
    """

    index: ShardIndex
    stats: ShardStats
    removal: Removal | None

    def __str__(self) -> str:
        tallies = self.index.problems.tallies
        lines = [
            f"{self.index.root}: {self.index.counts()}, {total(tallies)}",
            *(f"  {line}" for line in kinds(tallies)),
        ]
        if self.stats.urls:
            failed = f"; failed: {reasons(self.stats)}" if self.stats.failed else ""
            lines.append(f"by their _stats.json, {self.stats.urls} URLs and {self.stats.fetched} pictures{failed}")
        return "\n".join([*lines, *(self.removal.lines() if self.removal else ())])


@dataclass(frozen=True)
class Audit:
    """What `audit` found; as text, lines for people.

    Attributes:
        folders: of shards, train before held-out.
        report: names every problem.
    """

    folders: tuple[Audited, ...]
    report: Path

    def __str__(self) -> str:
        total = sum(len(each.index.problems) for each in self.folders)
        told = f"every problem is named in {self.report}" if total else f"no problem, so {self.report} has no row"
        return "\n".join([*map(str, self.folders), told])


def audit(
    path: str | Path,
    workers: int = 1,
    depth: Depth = SHALLOW,
    on_bad_shard: str = "skip",
    filter: Filter | None = None,
    report: str | Path | None = None,
    progress: Progress = iter,
) -> Audit:
    """Index the shards of a data set, and write a table of all that is wrong with them.

    What was scanned before is not scanned again, and what is scanned is kept shard by shard: after a kill the same call
    goes on. Captions are asked for where any sample has one.

    Args:
        path: a folder with `train/` and `heldout/`, or a folder of img2dataset tars.
        workers: processes that scan; with more than one they are spawned, so a script needs its `__name__` guard.
        depth: what is looked at beside headers, captions and json.
        on_bad_shard: "skip" names a shard that is truncated, empty or unreadable, "stop" ends at the first.
        filter: which samples would be taken.
        report: the table; `audit.csv` in the folder if not given.
        progress: wraps the iteration over the shards that are scanned, as a progress bar does.

    Raises:
        ValueError: no folder, no tars, not one usable sample, or a bad shard that is to stop it.
        OSError: the table cannot be written.
    """
    folders = [train_folder(path)]
    if heldout_folder(path).is_dir() and folders[0] != Path(path):
        folders.append(heldout_folder(path))
    table = Path(report) if report else Path(path) / REPORT
    indexes = [_index(folder, workers, depth, on_bad_shard, progress) for folder in folders]
    found = tuple(_audited(index, filter) for index in indexes)
    write_problems(table, _problems(Path(path), found))
    return Audit(found, table)


def _index(folder: Path, workers: int, depth: Depth, on_bad_shard: str, progress: Progress) -> ShardIndex:
    asked = Needs(captions=False)
    index = ShardIndex.build(
        folder, needs=asked, workers=workers, depth=depth, on_bad_shard=on_bad_shard, progress=progress, tell=False
    )
    return index.having(Needs()) if len(index.columns.captions.blob) else index


def _audited(index: ShardIndex, filter: Filter | None) -> Audited:
    stats = DoneShards(index.root)
    stats.look()
    return Audited(index, stats.total(), filtered(index, filter)[1] if filter else None)


def _problems(root: Path, found: tuple[Audited, ...]) -> Iterator[Problem]:
    """What is wrong in all folders, each shard with its folder."""
    for each in found:
        below = each.index.root.relative_to(root)
        yield from (replace(problem, shard=str(below / problem.shard)) for problem in each.index.problems)
