"""Where the readers of a run have come to in a stream, as a checkpoint remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ldmlab.data.order.order_facts import Facts
from ldmlab.data.streams.order import Place

OF_THE_STREAM = ("filter", "urls", "ranks", "num_workers")
"""Facts that a new round over the shards does not depend on."""
EVERY = 2**62
"""Problems, however many were named."""


class StreamState(NamedTuple):
    """Where the readers of a rank have come to.

    Attributes:
        places: of each of them.
        turn: whose sample is next.
        first: the round in which what is wrong with samples is named; later ones would only name it again.
        named: how many problems were.
    """

    places: tuple[Place, ...]
    turn: int = 0
    first: int = 0
    named: int = 0

    @staticmethod
    def begin(readers: int, round: int = 0) -> StreamState:
        """The begin of a round."""
        return StreamState((Place(round),) * readers, first=round)

    def plain(self) -> list[list[int]]:
        """As numbers, for a checkpoint."""
        return [[self.turn, self.first, self.named], *map(list, self.places)]

    @staticmethod
    def read(plain: Any, rank: int, readers: int) -> StreamState:
        """Take it out of a checkpoint.

        Args:
            plain: what `plain` gave on each rank; a stranger's may be anything.
            rank: of this process.
            readers: that it has.

        Raises:
            ValueError: it is none of so many readers.
        """
        own = plain[rank] if isinstance(plain, list) and rank < len(plain) else []
        rows: list[Any] = own if isinstance(own, list) else []
        sizes = [len(row) if isinstance(row, list) else 0 for row in rows]
        if sizes != [3] + [len(Place())] * readers or not all(type(n) is int and n >= 0 for row in rows for n in row):
            raise ValueError("the checkpoint does not say where its stream was: start a new run")
        (turn, first, named), *places = rows
        return StreamState(tuple(Place(*row) for row in places), turn % readers, first, named)

    @staticmethod
    def anew(plain: Any, readers: int) -> StreamState:
        """The begin of the round after those of a checkpoint, for any number of readers.

        Raises:
            ValueError: the checkpoint holds no such states.
        """
        rows = plain if isinstance(plain, list) else []
        sizes = [len(row) - 1 if isinstance(row, list) else 0 for row in rows]
        states = [StreamState.read(rows, rank, size) for rank, size in enumerate(sizes)]
        last = max((place.round for each in states for place in each.places), default=0)
        return StreamState.begin(readers, last + 1)._replace(named=EVERY)


def require_same_stream(facts: Facts, saved: Mapping[str, Any], allow_other_data: bool) -> bool:
    """Refuse to go on where this run would read its stream otherwise than the one that was saved.

    Args:
        facts: of the run that is to go on.
        saved: of the checkpoint.
        allow_other_data: go on with a new round where the shards are others, or divided among other readers.

    Returns:
        Whether they are.

    Raises:
        ValueError: what has changed.
    """
    changed = [name for name, value in facts.items() if saved.get(name) != value]
    may_differ = {*changed} <= {*OF_THE_STREAM}
    if changed and not (may_differ and allow_other_data):
        name = changed[0]
        fix = ", or go on with a new round over the shards by allow_other_data=true" if may_differ else ""
        raise ValueError(
            f"the checkpoint was trained with {name}={saved.get(name)}, this run has {name}={facts[name]}:"
            f" resume with the same, or start a new run{fix}"
        )
    return bool(changed)
