"""The shards of a stream: what each of them holds, read again where a connection breaks off."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from ldmlab.data.filters.filter import Filter
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.streams.entries import StreamSample, read_entries
from ldmlab.data.streams.opening import BrokenShardError, opened

ALL = sys.maxsize
"""Entries of a shard, however many there are."""
PAUSES = (1.0, 4.0, 16.0)
"""Seconds before a shard that broke off is read again."""


@dataclass(frozen=True)
class StreamSource:
    """Shards that are read from begin to end, and never sought in.

    Attributes:
        urls: of the shards, in order.
        needs: what a sample must have.
        filter: which samples are taken; None for all.
        secure: urls that run a command are refused.
        stops: a shard that cannot be read ends the run, in place of being named and left out.
        reserved: by the number of a shard, how many entries at its begin are not for training.
    """

    urls: tuple[str, ...]
    needs: Needs = field(default_factory=Needs)
    filter: Filter | None = None
    secure: bool = True
    stops: bool = False
    reserved: Mapping[int, int] = field(default_factory=dict)

    def shards(self) -> list[int]:
        """The numbers of the shards that are not set aside as a whole."""
        return [shard for shard in range(len(self.urls)) if self.reserved.get(shard) != ALL]

    def entries(self, shard: int, start: int = 0, patient: bool = True) -> Iterator[tuple[int, StreamSample | Problem]]:
        """Yield the entries of a shard that are taken, or are named as bad, with their numbers within the shard.

        What a filter leaves out has a number, and is not given.

        Args:
            shard: its number.
            start: of the first entry.
            patient: read a shard again, from where it broke off.

        Raises:
            ValueError: a shard that cannot be read, or a sample that lacks what a filter asks for, is to end the run.
        """
        number, pauses = max(start, self.reserved.get(shard, 0)), iter(PAUSES if patient else ())
        while number != ALL:
            try:
                for entry in self._entries(shard, number):
                    number += 1
                    if isinstance(entry, Problem) or self._takes(shard, entry):
                        yield number - 1, entry
                return
            except BrokenShardError as error:
                pause = next(pauses, None) if error.may_mend else None
                if pause is None:
                    yield number, self._broken(shard, str(error))
                    return
            time.sleep(pause)

    def _entries(self, shard: int, start: int) -> Iterator[StreamSample | Problem]:
        url = self.urls[shard]
        with opened(url, self.secure) as stream:
            yield from islice(read_entries(stream, url, self.needs), start, None)

    def _takes(self, shard: int, sample: StreamSample) -> bool:
        try:
            return self.filter is None or self.filter.keeps(sample.meta, sample.caption, sample.sides)
        except ValueError as error:
            raise ValueError(f"{self.urls[shard]}/{sample.key}: {error}") from error

    def _broken(self, shard: int, reason: str) -> Problem:
        problem = Problem(Defect.UNREADABLE_SHARD, self.urls[shard], detail=reason)
        if self.stops:
            raise ValueError(f"data.on_bad_shard=stop: {problem}; mend it, or leave it out by data.on_bad_shard=skip")
        return problem
