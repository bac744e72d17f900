"""How fast the machine multiplies matrices: what shares of a rate are shares of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from ldmlab.precision import choose_precision
from side_by_side.bench import Bench
from side_by_side.clock import Call


def section(bench: Bench) -> None:
    """Square matrices in every precision of a GPU; shares are of bf16, and on a CPU of fp32, which is faster there."""
    side = bench.sizes.matrix
    flops = 2 * side**3
    for name in ("bf16", "tf32", "fp32") if bench.device.type == "cuda" else ("fp32",):
        call: Callable[[], Call] = partial(_product, bench, name)
        row = bench.compare("Matrix products", f"{side}^3", name, {"one": call}, unit="TFLOP/s", flops=flops)
        bench.rate = bench.rate or flops / row.figures["one"]


def _product(bench: Bench, name: str) -> Call:
    precision = choose_precision(name, bench.device)
    a, b = (
        torch.randn(bench.sizes.matrix, bench.sizes.matrix, device=bench.device, dtype=precision.dtype) for _ in "ab"
    )

    def product() -> torch.Tensor:
        with precision.arithmetic():
            return a @ b

    return product
