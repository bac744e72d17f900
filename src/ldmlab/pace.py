"""How far something has come, how fast it goes, and how long it will take."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TextIO

FIRST = 2.0
"""Seconds before something is told at all."""


def draws_bars(stream: TextIO) -> bool:
    """Whether it is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


@dataclass
class Pace:
    """Counts, and says when a line is due.

    Attributes:
        total: count at the end; None where it is not known.
        done: count so far, more than 0 at the start of what goes on from earlier.
        seconds: between two lines. The first comes sooner.
    """

    total: int | None
    done: int = 0
    seconds: float = 20.0
    _begin: int = field(init=False)
    _start: float = field(init=False)
    _due: float = field(init=False)

    def __post_init__(self) -> None:
        self._begin, self._start = self.done, time.monotonic()
        self._due = self._start + min(FIRST, self.seconds)

    def is_due(self) -> bool:
        """Whether it is time for a line; if so, the next is due `seconds` later."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self.seconds
        return True

    def count(self) -> str:
        """The count so far and, where it is known, the total, for example "3/10"."""
        return f"{self.done}" if self.total is None else f"{self.done}/{self.total}"

    def seconds_taken(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def taken(self) -> str:
        """Time since the start, as h:mm:ss, or as seconds where they are few."""
        seconds = self.seconds_taken()
        return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))

    def left(self) -> float | None:
        """Seconds until the end, as fast as it has been so far; None where that is not known."""
        speed = self._speed()
        return None if self.total is None or speed is None else max(0, self.total - self.done) / speed

    def _speed(self) -> float | None:
        """Counts a second."""
        seconds, steps = self.seconds_taken(), self.done - self._begin
        return steps / seconds if steps and seconds > 0 else None

    def status(self) -> str:
        """Count, speed and time left in words, for example "3/10, 1.5 a second, 0:00:05 left"."""
        speed, seconds = self._speed(), self.left()
        if speed is None:
            return self.count()
        pace = f"{speed:.3g} a second" if speed >= 1 else f"{1 / speed:.3g} s each"
        if seconds is None:
            return f"{self.count()}, {pace}"
        return f"{self.count()}, {pace}, {timedelta(seconds=round(seconds))} left"
