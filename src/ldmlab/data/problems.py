"""What can be wrong with a shard, and a report that counts and names it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Defect(StrEnum):
    """Kinds of problems. All but `IGNORED_MEMBER`, `UNFINISHED_SHARD` and the damages of an archive drop a sample."""

    MISSING_IMAGE = "missing image"
    UNDECODABLE_IMAGE = "undecodable image"
    OVERSIZED_IMAGE = "oversized image"
    MISSING_CAPTION = "missing caption"
    EMPTY_CAPTION = "empty caption"
    UNDECODABLE_CAPTION = "caption that is not utf-8"
    BROKEN_JSON = "broken json"
    DUPLICATE_KEY = "duplicate key"
    IGNORED_MEMBER = "ignored member"
    DAMAGED_HEADER = "damaged tar header"
    TRUNCATED_SHARD = "truncated shard"
    UNFINISHED_SHARD = "shard without _stats.json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect: the shard's file name, and the sample's key (or byte offset, or member's name) where there is one."""

    defect: Defect
    shard: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.shard}/{self.key}" if self.key else self.shard


def summarise(problems: Iterable[Problem]) -> str:
    """Return one line: each kind with its count and its first place; "no problems" where there are none."""
    first: dict[Defect, Problem] = {}
    counts: Counter[Defect] = Counter()
    for problem in problems:
        counts[problem.defect] += 1
        first.setdefault(problem.defect, problem)
    if not counts:
        return "no problems"
    kinds = ", ".join(f"{count} {defect} (first: {first[defect]})" for defect, count in counts.most_common())
    return f"{counts.total()} problem{'s' if counts.total() > 1 else ''}: {kinds}"
