"""How many samples a filter leaves out, condition by condition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.rows import Bits

HEADER = ("condition", "alone", "in turn", "undecided")


@dataclass
class Removed:
    """What one condition leaves out.

    Attributes:
        condition: as it is written.
        alone: samples that it would leave out by itself.
        in_turn: those that it leaves out of what the conditions before it have left.
        undecided: samples that lack what it asks for; the others count them as `Filter.missing` says.
    """

    condition: str
    alone: int = 0
    in_turn: int = 0
    undecided: int = 0


@dataclass
class Removal:
    """What a filter makes of a data set; as text, a table for people.

    Attributes:
        filter: in words.
        samples: that it looked at.
        kept: that are left.
        conditions: of the filter, in order.
    """

    filter: str
    samples: int
    kept: int
    conditions: tuple[Removed, ...]

    @staticmethod
    def of(filter: Filter) -> Removal:
        """What a filter makes of no samples yet, to which `count` adds."""
        return Removal(str(filter), 0, 0, tuple(Removed(part.text) for part in filter.expression.parts))

    def count(self, met: Iterable[tuple[Bits, Bits]], counted: Bits) -> Bits:
        """Count N more samples; return which of them are left (N,).

        Args:
            met: of each condition, see `Filter.meets`.
            counted: which of the samples are the data set's.
        """
        left = counted
        for condition, (yes, unknown) in zip(self.conditions, met, strict=True):
            condition.alone += int((counted & ~yes).sum())
            condition.in_turn += int((left & ~yes).sum())
            condition.undecided += int((counted & unknown).sum())
            left = left & yes
        self.samples += int(counted.sum())
        self.kept += int(left.sum())
        return left

    def is_of(self, filter: Filter) -> bool:
        """Whether it counts the conditions of a filter."""
        texts = [part.text for part in filter.expression.parts]
        return self.filter == str(filter) and [each.condition for each in self.conditions] == texts

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it; `Removal.read` reads it back."""
        return asdict(self)

    @staticmethod
    def read(content: Any) -> Removal:
        """What `plain` gave. ValueError, TypeError or KeyError where it is something else."""
        conditions = tuple(Removed(**each) for each in content["conditions"])
        removal = Removal(content["filter"], content["samples"], content["kept"], conditions)
        counts = [removal.samples, removal.kept]
        counts += [count for each in conditions for count in (each.alone, each.in_turn, each.undecided)]
        texts = [removal.filter, *(each.condition for each in conditions)]
        whole = all(isinstance(count, int) and 0 <= count <= removal.samples for count in counts)
        if not whole or not all(isinstance(text, str) for text in texts):
            raise ValueError("counts that are none")
        return removal

    def lines(self) -> list[str]:
        """The table, a line a condition, after one that sums it up."""
        cells = [
            HEADER,
            *((c.condition, f"{c.alone:,}", f"{c.in_turn:,}", f"{c.undecided:,}") for c in self.conditions),
        ]
        width = max(len(row[0]) for row in cells)
        rows = [f"  {row[0]:<{width}}  {row[1]:>12}  {row[2]:>12}  {row[3]:>12}" for row in cells]
        return [f"{self.summary()}; left out:", *rows]

    def summary(self) -> str:
        """How many samples are kept, in a line."""
        return f"filter={self.filter} keeps {self.kept:,} of {self.samples:,} samples"

    def __str__(self) -> str:
        return "\n".join(self.lines())
