"""What is asked of one rank is asked of all, from the same batch on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


class Agreement:
    """The greatest of a number that each rank gives after every batch, known to all of them one batch later.

    The numbers travel while the next batch is computed, between the hosts' processors: no GPU is waited for. A signal
    that reaches ranks one after the other thus stops them at the same batch. One process agrees with itself at once.
    """

    def __init__(self) -> None:
        self._group: Any = None
        self._travelling: tuple[Any, Tensor] | None = None

    def begin(self) -> None:
        """Join the other ranks, if there are any; to be called by all."""
        self._travelling = None
        if self._group is None and distributed.is_initialized() and distributed.get_world_size() > 1:
            self._group = distributed.new_group(backend="gloo")

    def on(self, number: int) -> int:
        """Give a number of this rank, and return the greatest of those that all gave the time before.

        To be called by all ranks equally often.
        """
        if self._group is None:
            return number
        before, value = self._travelling, torch.tensor(number)
        work = distributed.all_reduce(value, distributed.ReduceOp.MAX, self._group, async_op=True)
        self._travelling = work, value
        if before is None:
            return 0
        before[0].wait()
        return int(before[1])

    def least(self, number: int) -> int:
        """The least of a number of each rank, for which all are waited for."""
        if self._group is None:
            return number
        value = torch.tensor(number)
        distributed.all_reduce(value, distributed.ReduceOp.MIN, self._group)
        return int(value)
