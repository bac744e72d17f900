"""A few rows that processes tell each other of, in a table whose size does not grow with the data."""

from __future__ import annotations

from collections.abc import Iterator

import torch

SLOTS = 2**16
KINDS = 256
MOST_STEPS = 64


class SharedRows:
    """Numbers of samples with a kind each, in memory that a process shares with those it starts.

    Each is at the first free slot from its remainder on (Knuth 1973, "The Art of Computer Programming" 3, 6.4, open
    addressing). Two processes that write at once may lose one of two rows, and a full table takes no more: those are
    only found again.
    """

    def __init__(self) -> None:
        self._slots = torch.full((SLOTS,), -1, dtype=torch.int64).share_memory_()
        self._count = torch.zeros(1, dtype=torch.int64).share_memory_()

    def __contains__(self, row: int) -> bool:
        return bool(self._count) and int(self._slots[self._place(row)]) // KINDS == row

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield rows and kinds in the order of the rows."""
        return iter(sorted(divmod(each, KINDS) for each in self._slots[self._slots >= 0].tolist()))

    def add(self, row: int, kind: int) -> None:
        """Tell of a row."""
        place = self._place(row)
        if int(self._slots[place]) < 0:
            self._slots[place] = row * KINDS + kind
            self._count += 1

    def _place(self, row: int) -> int:
        """The slot of a row, or where it would be; another one where none of those that are looked at is free."""
        for step in range(MOST_STEPS):
            place = (row + step) % SLOTS
            if int(self._slots[place]) < 0 or int(self._slots[place]) // KINDS == row:
                return place
        return row % SLOTS
