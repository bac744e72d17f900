"""What can be wrong with a shard, and a report that counts and names it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from ldmlab.atomic import atomic_file

PROBLEMS = "data_problems.csv"
"""The table of what is wrong with the data of a folder or a run."""
COLUMNS = ("problem", "shard", "key", "detail")
"""Of that table."""


class Defect(StrEnum):
    """Kinds of problems: of a sample, which is dropped unless the value's comment says otherwise, or of a shard."""

    MISSING_IMAGE = "missing image"
    UNDECODABLE_IMAGE = "undecodable image"
    OVERSIZED_IMAGE = "oversized image"
    BROKEN_JSON = "broken json"
    OVERSIZED_JSON = "oversized json"
    DUPLICATE_KEY = "duplicate key"  # the first of each part is kept

    MISSING_CAPTION = "missing caption"
    EMPTY_CAPTION = "empty caption"
    UNDECODABLE_CAPTION = "caption that is not utf-8"
    NUL_CAPTION = "caption with NUL characters"
    OVERSIZED_CAPTION = "oversized caption"

    MISSING_LABEL = "missing label"
    BAD_LABEL = "label that is no integer of 0 or more"
    OTHER_LABEL = "label in json other than in .cls"  # kept: the .cls counts
    NO_CLASS = "label beyond the classes"

    IGNORED_MEMBER = "ignored member"
    DAMAGED_HEADER = "damaged tar header"
    TRUNCATED_SHARD = "truncated shard"
    ZEROS = "stretch of zeros in place of data"
    NO_END_MARK = "shard without an end mark"
    EMPTY_SHARD = "empty shard"
    NO_ARCHIVE = "shard that is no tar"
    UNREADABLE_SHARD = "shard that cannot be read"
    UNFINISHED_SHARD = "shard without _stats.json"
    OTHER_COUNT = "shard that differs from its _stats.json"
    MISSING_SHARD = "missing shard"

    MISSING_KEY = "json without a key that is read"

    CHANGED_IMAGE = "image whose checksum is not as it was indexed"
    UNDECODABLE_PIXELS = "image whose pixels cannot be decoded"  # kept: replaced where it is read
    MISSING_SAMPLE = "sample of the parquet that the shard lacks"
    OTHER_PARQUET = "parquet that cannot be compared"


def printable(line: str) -> str:
    """A line of names that come from strangers, so that a terminal shows it as it is."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a sample, a shard or a folder.

    Attributes:
        defect: its kind.
        shard: the shard's file name.
        key: the sample's key, or a byte offset or a member's name, where there is one.
        detail: what else there is to say.
    """

    defect: Defect
    shard: str
    key: str = ""
    detail: str = ""

    def __str__(self) -> str:
        place = f"{self.shard}/{self.key}" if self.key else self.shard
        line = f"{place}: {self.detail}" if self.detail else place
        return printable(line)


class Tally(NamedTuple):
    """How often a kind of problem was found, and the first place."""

    times: int
    first: Problem


def tally(problems: Iterable[Problem]) -> dict[Defect, Tally]:
    """Count each kind, in the order in which they are met."""
    tallies: dict[Defect, Tally] = {}
    for problem in problems:
        count, first = tallies.get(problem.defect, (0, problem))
        tallies[problem.defect] = Tally(count + 1, first)
    return tallies


def added(tallies: Iterable[Mapping[Defect, Tally]]) -> dict[Defect, Tally]:
    """The counts of several parts together, in their order."""
    total: dict[Defect, Tally] = {}
    for part in tallies:
        for defect, (count, first) in part.items():
            before, earliest = total.get(defect, (0, first))
            total[defect] = Tally(before + count, earliest)
    return total


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Write each as a row of a csv table, atomically, one after the other."""
    with atomic_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")  # names are bytes
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows((str(each.defect), each.shard, each.key, each.detail) for each in problems)
        text.flush()
        text.detach()


def summarise(problems: Iterable[Problem]) -> str:
    """Return one line: each kind with its count and its first place; "no problems" where there are none."""
    return told(tally(problems))


def told(tallies: Mapping[Defect, Tally]) -> str:
    """The line of `summarise` for what was counted."""
    return f"{total(tallies)}: {', '.join(kinds(tallies))}" if tallies else total(tallies)


def total(tallies: Mapping[Defect, Tally]) -> str:
    """How many problems there are, in words."""
    count = sum(each.times for each in tallies.values())
    return f"{count or 'no'} problem{'s' if count != 1 else ''}"


def kinds(tallies: Mapping[Defect, Tally]) -> list[str]:
    """Each kind with its count and its first place, the most frequent first."""
    frequent = sorted(tallies.items(), key=lambda item: -item[1].times)
    return [f"{count} {defect} (first: {first})" for defect, (count, first) in frequent]
