"""A measurement shared among ranks, and what of it is done already, so that one that was killed goes on.

The work is a list of batches that is the same whatever the number of ranks. Each is done on one of them, alone, and
what comes of it is handed to all in the order of batches: so figures are those of one rank, to the last bit on a CPU.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ldmlab.atomic import atomic_file
from ldmlab.ranks import ALONE, Ranks
from ldmlab.tensor_file import check, write_tensors

if TYPE_CHECKING:
    from ldmlab.metrics.feed import Feed, Reading

T = TypeVar("T")
R = TypeVar("R")
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Kept:
    """What came of batches, in files of a folder that is there until all of them are done.

    Attributes:
        folder: for this alone.
        about: names what is measured, and how; what is kept of another measurement is not taken.
    """

    folder: Path
    about: str = ""

    def of(self, about: Mapping[str, Any]) -> Kept:
        """For a measurement that is described by plain JSON data."""
        said = json.dumps(about, sort_keys=True, default=str)
        return replace(self, about=hashlib.sha256(said.encode()).hexdigest()[:16])

    def get(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """What came of a batch: from its file or, where there is none or a damaged one, made and written."""
        path = self._path(name)
        found = _read(path)
        if found is None:
            found = make()
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                write_tensors(file, {key: value.contiguous() for key, value in found.items()}, {})
        return found

    def has(self, name: str) -> bool:
        """Whether there is a file of a batch."""
        return self._path(name).is_file()

    def tell(self, tell: Callable[[str], None] = print) -> None:
        """Say how much an earlier start has done."""
        count = len(list((self.folder / self.about).glob("*.safetensors")))
        if count:
            tell(f"what came of {count} batches is there already")

    def forget(self) -> None:
        """Take the folder away: all is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / self.about / f"{name}.safetensors"


class Keeps(Protocol):
    """Where what came of batches is kept, on the disk (`Kept`) or elsewhere."""

    def of(self, about: Mapping[str, Any]) -> Keeps:
        """A place for a measurement that is described by plain JSON data."""

    def get(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """What came of a batch, as it was kept or, where it was not, as it is made now."""

    def has(self, name: str) -> bool:
        """Whether it is kept what came of a batch."""

    def tell(self, tell: Callable[[str], None] = print) -> None:
        """Say how much an earlier start has done, with whatever takes a line."""


def pass_on() -> None:
    """Let a measurement go on."""


@dataclass(frozen=True)
class Shares:
    """Who does which batches of a measurement.

    Attributes:
        ranks: among which they are shared.
        kept: where what came of them is kept; None where a killed measurement begins anew.
        between: called on every rank before each of them does a batch; what it raises ends the measurement.
    """

    ranks: Ranks = ALONE
    kept: Keeps | None = None
    between: Callable[[], None] = pass_on

    def of(self, about: Mapping[str, Any]) -> Shares:
        """For a measurement that is described by plain JSON data."""
        return self if self.kept is None else replace(self, kept=self.kept.of(about))

    def each(self, items: Iterable[T], make: Callable[[T], R]) -> Iterator[R]:
        """What is made of each item, in order, on every rank; item i is made by rank i modulo their number.

        Args:
            items: the same on every rank, taken one for each rank at a time.
            make: is called on one rank; what it returns travels to the others.
        """
        left = iter(items)
        while turn := list(islice(left, self.ranks.world)):
            self.between()
            own = make(turn[self.ranks.rank]) if self.ranks.rank < len(turn) else None
            yield from self.ranks.gather(own)[: len(turn)]  # type: ignore[misc]  # those beyond made nothing

    def once(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """What came of a batch: made now, if no earlier start has."""
        return make() if self.kept is None else self.kept.get(name, make)

    def read(self, feed: Feed, part: range, given: Callable[[], Mapping[str, Any]]) -> Reading:
        """What a feed takes of the pictures of these numbers: read now, if no earlier start of this has.

        Args:
            feed: of metrics.
            part: the numbers.
            given: draws or decodes the pictures, and gives what is known of them, by name.

        Raises:
            ValueError: there are several ranks, and a metric has no states that they can join.
        """
        if self.ranks.world > 1:
            feed.require_joining()
        if not feed.joins:
            return feed.read(part.start, **given())
        return self.once(_named(feed.name, part), lambda: feed.read(part.start, **given()))

    def left(self, name: str, parts: Sequence[range]) -> list[range]:
        """The parts that this rank still has to read for the feed of a name."""
        own = self.ranks.share(parts)
        return [part for part in own if self.kept is None or not self.kept.has(_named(name, part))]


SINGLE = Shares()
"""One process, which keeps nothing."""


def _named(feed: str, part: range) -> str:
    return f"{feed}-{part.start:08d}"


def _read(path: Path) -> Tensors | None:
    try:
        check(path)
        return load_file(path)
    except (OSError, ValueError, SafetensorError):
        return None
