"""Seconds that calls take, measured in turns, so that whatever else a machine does falls on all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

Call = Callable[[], object]


def in_turns(
    calls: Mapping[str, Call], rounds: int, least: float = 0.1, most: float = math.inf
) -> dict[str, list[float]]:
    """Seconds of a call in each round: first A, B, then B, A.

    With a GPU, time is that on the wall, and the clock waits for the GPU before and after a measurement, not between
    its calls. Without one it is that of the processor, which other programs do not lengthen.

    Args:
        calls: by who makes them; they have been warmed up.
        rounds: how many measurements each gets.
        least: seconds that one measurement takes at least; short calls are made several times for it.
        most: seconds that all rounds of one may take; long calls get fewer rounds for it, two at least.
    """
    once = {who: max(_mean(call, 1), 1e-6) for who, call in calls.items()}
    counts = {who: max(1, round(least / seconds)) for who, seconds in once.items()}
    rounds = max(min(rounds, 2), int(min(rounds, most / max(once.values(), default=1.0))))
    taken: dict[str, list[float]] = {who: [] for who in calls}
    for number in range(rounds):
        for who in list(calls)[:: 1 if number % 2 == 0 else -1]:
            taken[who].append(_mean(calls[who], counts[who]))
    return taken


def ratio(times: Mapping[str, list[float]], one: str, other: str) -> float:
    """The time of one over that of another: the median over the rounds."""
    return median(a / b for a, b in zip(times[one], times[other], strict=True))


def _mean(call: Call, count: int) -> float:
    start = _now()
    for _ in range(count):
        call()
    return (_now() - start) / count


def _now() -> float:
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
