"""What img2dataset says of its shards: how many URLs it asked, how many pictures came, and why others did not."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ldmlab.files import read_regular

MOST_BYTES = 2**24
_NAME = re.compile(r"(\d+)_stats\.json")


@dataclass
class ShardStats:
    """Counts of one shard or of many: URLs asked, pictures stored, and failures by their reason."""

    urls: int = 0
    fetched: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, other: ShardStats) -> None:
        """Count another's, too."""
        self.urls += other.urls
        self.fetched += other.fetched
        self.failed.update(other.failed)


def read_stats(path: Path) -> ShardStats | None:
    """Read one `_stats.json`, which is written last of a shard; None while it is not whole."""
    try:
        content = json.loads(read_regular(path, MOST_BYTES))
        reasons = {str(name): _count(value) for name, value in content["status_dict"].items() if name != "success"}
        return ShardStats(_count(content["count"]), _count(content["successes"]), Counter(reasons))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


class DoneShards:
    """The shards of a folder that are done, each read once.

    Args:
        folder: of the shards, which need not be there yet.

    Attributes:
        by_number: the statistics of each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_number: dict[int, ShardStats] = {}

    def look(self) -> int:
        """Take in those that were done since, and return how many URLs they had."""
        before = {*self.by_number}
        for path in self.folder.glob("*_stats.json"):
            name = _NAME.fullmatch(path.name)
            if name is not None and int(name[1]) not in before and (stats := read_stats(path)) is not None:
                self.by_number[int(name[1])] = stats
        return sum(stats.urls for number, stats in self.by_number.items() if number not in before)

    def total(self) -> ShardStats:
        """The counts of all shards that are done."""
        total = ShardStats()
        for stats in self.by_number.values():
            total.add(stats)
        return total


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
