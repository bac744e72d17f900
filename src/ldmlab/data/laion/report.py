"""What fetching a list came to, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ldmlab.data.laion.shard_stats import ShardStats
from ldmlab.data.problems import Defect, Tally, told
from ldmlab.data.shards.shard_scan import MAX_PIXELS

MOST_REASONS = 8
WORDS = {
    "IncompleteRead": "cut off on its way",
    "infinite loop": "redirected in a circle",
    "CV_IO_MAX_IMAGE_PIXELS": f"more than {MAX_PIXELS // 2**20} million pixels",
    "Image decoding error": "no picture inside",
    "unknown url type": "no URL",
}
"""What some errors of Python and OpenCV mean, by a part of their text."""


@dataclass(frozen=True)
class SplitReport:
    """One split: what img2dataset says, and how many samples the audit found usable.

    Attributes:
        folder: of its shards.
        shards: how many.
        stats: of all of them.
        usable: samples.
        problems: what the audit found, counted.
        listed: the file that names each of them.
    """

    folder: Path
    shards: int
    stats: ShardStats
    usable: int
    problems: Mapping[Defect, Tally]
    listed: Path

    def __str__(self) -> str:
        shards = f"{self.shards} shard{'s' if self.shards != 1 else ''}"
        lines = [f"{self.folder}: {self.stats.urls} URLs, {self.stats.fetched} downloaded, in {shards}"]
        if self.stats.failed:
            lines.append(f"failed: {reasons(self.stats)}")
        if self.problems:
            lines.append(f"rejected by the audit: {told(self.problems)}; all are named in {self.listed}")
        return "\n".join([*lines, f"usable: {self.usable} samples"])


@dataclass(frozen=True)
class DownloadReport:
    """What became of each split of a list; as text, lines for people."""

    splits: tuple[SplitReport, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.splits))


def reasons(stats: ShardStats) -> str:
    """How many URLs failed, and why, the most frequent reasons first."""
    found: Counter[str] = Counter()
    for reason, count in stats.failed.items():
        found[_in_words(reason)] += count
    common = found.most_common(MOST_REASONS)
    words = ", ".join(f"{count} {reason}" for reason, count in common)
    others = f", {found.total() - sum(count for _, count in common)} others" if len(found) > len(common) else ""
    return f"{found.total()} ({words}{others})"


def _in_words(reason: str) -> str:
    """A reason, which may be in a server's words, without what differs from picture to picture."""
    for sign, words in WORDS.items():
        if sign in reason:
            return words
    return "".join(c if c.isprintable() else " " for c in reason)[:100]
