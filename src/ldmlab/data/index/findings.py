"""What is wrong with a folder's samples and shards: counted in memory, named one by one from where it is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, overload

from ldmlab.data.problems import Defect, Problem, Tally, added, tally


class Part(NamedTuple):
    """Some of the problems: their counts, and what gives them one by one."""

    tallies: Mapping[Defect, Tally]
    each: Callable[[], Iterable[Problem]]


class Findings(Sequence[Problem]):
    """Problems in their order, as a sequence that holds none of them.

    Args:
        parts: one after the other.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        self.tallies = added(part.tallies for part in parts)

    @staticmethod
    def of(problems: Sequence[Problem]) -> Part:
        """A part of a few problems that are held."""
        return Part(tally(problems), partial(iter, problems))

    def __len__(self) -> int:
        return sum(each.times for each in self.tallies.values())

    def __iter__(self) -> Iterator[Problem]:
        for part in self._parts:
            yield from part.each()

    @overload
    def __getitem__(self, place: int) -> Problem: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Problem]: ...
    def __getitem__(self, place: int | slice) -> Problem | Sequence[Problem]:
        """Return one problem, or some; those before them are read."""
        if isinstance(place, slice):
            return tuple(self)[place]
        count = len(self)
        if not -count <= place < count:
            raise IndexError(place)
        return next(islice(self, place % count, None))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=False))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))


def to_line(problem: Problem) -> str:
    """A problem as it is stored."""
    return json.dumps([problem.defect, problem.shard, problem.key, problem.detail])


def from_line(line: str) -> Problem:
    """The problem that was stored. ValueError where it is none."""
    return from_plain(json.loads(line))


def from_plain(content: Any) -> Problem:
    """The problem of four strings. ValueError where they are none."""
    if not (isinstance(content, list) and len(content) == 4 and all(isinstance(each, str) for each in content)):
        raise ValueError("a problem of no kind")
    return Problem(Defect(content[0]), *content[1:])


def to_plain(tallies: Mapping[Defect, Tally]) -> list[Any]:
    """Counts as plain JSON."""
    return [[count, list((p.defect, p.shard, p.key, p.detail))] for count, p in tallies.values()]


def tallies_from(content: Any) -> dict[Defect, Tally]:
    """The counts that `to_plain` wrote. ValueError or TypeError where it did not."""
    tallies = [Tally(int(count), from_plain(first)) for count, first in content]
    if any(each.times < 1 for each in tallies):
        raise ValueError("a count below 1")
    return {each.first.defect: each for each in tallies}
