"""Attention's backends by shape."""

from __future__ import annotations

import attention_backends
from side_by_side.bench import Bench
from side_by_side.row import Row


def section(bench: Bench) -> None:
    """Every backend that runs, forward, and forward and backward."""
    for found in attention_backends.measure(bench.device, bench.sizes.attention, (bench.dtype,), bench.sizes.least / 2):
        shape = ", ".join(map(str, found.shape))
        for index, how in enumerate(("forward", "forward and backward")):
            seconds = {name: times[index] / 1e3 for name, times in found.milliseconds.items()}
            masked = ", mask" if found.masked else ""
            bench.keep(Row("Attention", f"B, h, N, M, d = {shape}{masked}", f"{bench.sizes.precision}, {how}", seconds))
