"""Random numbers for the rows of a batch that several processes share: the same for a row, whichever of them has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    """Draws for every row of a whole batch and gives those of some rows, so that who has which rows changes no number.

    All processes draw the same things in the same order, from generators in the same state. A process that has the
    whole batch draws no number in vain.

    Attributes:
        total: rows of the whole batch.
        rows: which of them are this process'.
        generator: where the numbers come from, on the device where they are wanted; if not given, what PyTorch's own
            generator of the device gives.
    """

    total: int
    rows: slice = field(default_factory=partial(slice, None))
    generator: torch.Generator | None = None

    def randn_like(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """Independent draws from N(0, 1) for each value of this process' rows."""
        shape = (self.total, *x.shape[1:])
        return self.take(torch.randn(shape, dtype=x.dtype, device=x.device, generator=self.generator))

    def rand(self, *shape: int, device: torch.device) -> Float[Tensor, "B ..."]:
        """Uniform draws from [0, 1), of a shape for each of this process' rows."""
        return self.take(torch.rand((self.total, *shape), device=device, generator=self.generator))

    def randint(self, high: int, *shape: int, device: torch.device) -> Int[Tensor, "B ..."]:
        """Uniform draws from the integers 0 ... high - 1, of a shape for each of this process' rows."""
        return self.take(torch.randint(high, (self.total, *shape), device=device, generator=self.generator))

    def take(self, drawn: Tensor) -> Tensor:
        """This process' rows of what was drawn for the whole batch."""
        return drawn[self.rows]
