"""What all sections share: where they run, how long they may, and the comparison of two calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeVar

import torch
from torch import nn

from ldmlab.precision import Precision, choose_precision, half_weights
from side_by_side.clock import Call, in_turns, ratio
from side_by_side.machine import tidy
from side_by_side.record import Record
from side_by_side.row import Row
from side_by_side.sizes import Sizes

MOST = 6.0
"""Seconds of all measurements of one contender."""
Network = TypeVar("Network", bound=nn.Module)


@dataclass
class Bench:
    """A run of the measurement.

    Attributes:
        device: where.
        sizes: how large.
        record: takes the rows.
        budget: seconds for everything.
        rate: of bf16 matrix products, FLOP/s, once it is measured.
    """

    device: torch.device
    sizes: Sizes
    record: Record
    budget: float
    rate: float | None = None
    _start: float = field(default_factory=time.monotonic)

    @property
    def precision(self) -> Precision:
        """Of networks."""
        return choose_precision(self.sizes.precision, self.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and features where a network only draws."""
        return self.precision.dtype

    @property
    def backend(self) -> str:
        """What compiles."""
        return self.sizes.backend or "inductor"

    @property
    def left(self) -> float:
        """Seconds."""
        return self.budget - (time.monotonic() - self._start)

    def ours(self, network: Network) -> Network:
        """A network of ldmlab, as it is held for drawing."""
        if self.precision.is_half:
            half_weights(network, self.dtype)
        return network.to(self.device)

    def theirs(self, network: Any) -> Any:
        """One of diffusers."""
        return network.to(self.device, self.dtype)

    def measure(
        self,
        section: str,
        work: str,
        how: str,
        calls: Mapping[str, Callable[[], Call]],
        *,
        unit: str = "ms",
        pictures: int = 1,
        flops: float | None = None,
    ) -> Row:
        """Measure calls in turns. Who fails is left out, with the reason.

        Args:
            section: see `Row`.
            work: see `Row`.
            how: see `Row`.
            calls: by who makes them, what prepares and gives the call.
            unit: see `Row`.
            pictures: see `Row`.
            flops: see `Row`.
        """
        if self.left < 0:
            return Row(section, work, how, notes=("left out, for the time was up",))
        ready: dict[str, Call] = {}
        notes = []
        for who, prepare in calls.items():
            try:
                call = prepare()
                call()
                ready[who] = call
            except Exception as error:  # a package or a kernel is missing, memory is short: the other is measured
                notes.append(f"{who}: {first_line(error)}")
        times = in_turns(ready, self.sizes.rounds, self.sizes.least, MOST)
        seconds = {who: median(taken) for who, taken in times.items()}
        compared = ratio(times, *ready) if len(ready) == 2 else None
        return Row(section, work, how, seconds, compared, unit, pictures, flops, self.rate, tuple(notes))

    def compare(self, *args: Any, **kwargs: Any) -> Row:
        """As `measure`; the row is kept."""
        return self.keep(self.measure(*args, **kwargs))

    def keep(self, row: Row) -> Row:
        """Record a row and print it."""
        self.record.add(row)
        figures = [f"{who} {row.told(who)} {row.unit}" for who in row.figures]
        compared = [f"ratio {row.ratio:.3f}"] if row.ratio else []
        print(f"[{self.left:4.0f} s] {row.work}, {row.how}:", *figures, *compared, *row.notes, sep="  ", flush=True)
        return row

    def tidy(self) -> None:
        """Forget networks and programs; what was measured before must be out of scope."""
        tidy(self.device)


def first_line(error: Exception) -> str:
    """What kind of error, and what it says first."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
