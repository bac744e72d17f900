"""Times of attention's backends by shape.

`PYTHONPATH=src python tests/bench/attention_backends.py` on a GPU prints the table of docs/attention.md and, for
`ldmlab.attention.measured`, the rows from which `attention=auto` chooses. About a minute.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from ldmlab.attention.backends import BACKENDS, resolve_backend
from ldmlab.attention.measured import Measurement

Shape = tuple[int, int, int, int, int]  # B, h, N, M, d
SHAPES: tuple[tuple[Shape, bool], ...] = (
    ((256, 6, 256, 256, 64), False),  # DiT-S/2 at 256 px
    ((64, 16, 256, 256, 72), False),  # DiT-XL/2 at 256 px
    ((16, 16, 1024, 1024, 72), False),  # and at 512 px
    ((16, 8, 4096, 4096, 40), False),  # SD 1's UNet at 512 px, its three grids
    ((16, 8, 1024, 1024, 80), False),
    ((16, 8, 256, 256, 160), False),
    ((16, 8, 4096, 77, 40), True),  # and its words
    ((16, 8, 1024, 77, 80), True),
    ((16, 8, 256, 77, 160), True),
    ((8, 24, 1178, 1178, 64), False),  # SD 3's joint sequence of 1024 + 154 tokens
    ((8, 24, 1178, 1178, 64), True),
)


def measure(
    device: torch.device,
    shapes: Iterable[tuple[Shape, bool]] = SHAPES,
    dtypes: Sequence[torch.dtype] = (torch.bfloat16, torch.float32),
    seconds: float = 0.1,
) -> list[Measurement]:
    """Median times of every backend that can run, on random tensors; each is measured for so many seconds twice."""
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else device.type
    capability = torch.cuda.get_device_capability(device) if on_gpu else (0, 0)
    return [
        Measurement(name, capability, dtype, shape, masked, dict(_times(device, shape, masked, dtype, seconds)))
        for dtype in dtypes
        for shape, masked in shapes
    ]


def _times(
    device: torch.device, shape: Shape, masked: bool, dtype: torch.dtype, seconds: float
) -> Iterator[tuple[str, tuple[float, float]]]:
    batch, heads, queries, keys, width = shape
    lengths = (queries, keys, keys)
    inputs = [torch.randn(batch, n, heads, width, device=device, dtype=dtype).transpose(1, 2) for n in lengths]
    mask = (torch.arange(keys, device=device) < max(1, keys // 2)).expand(batch, 1, 1, keys) if masked else None
    for name in BACKENDS:
        try:
            backend = resolve_backend(name)

            def forward(inputs: Sequence[Tensor] = inputs, backend=backend) -> Tensor:  # type: ignore[no-untyped-def]
                return backend(*inputs, mask)

            def both(forward=forward) -> None:  # type: ignore[no-untyped-def]
                leaves = [x.detach().requires_grad_() for x in inputs]
                forward(leaves).sum().backward()

            yield name, (_milliseconds(forward, seconds), _milliseconds(both, seconds))
        except (ValueError, torch.OutOfMemoryError) as error:
            print(f"{name} {shape}: {error}", file=sys.stderr)


def _milliseconds(function: object, seconds: float) -> float:
    timer = Timer("function()", globals={"function": function})
    return timer.blocked_autorange(min_run_time=seconds).median * 1e3


def table(rows: Sequence[Measurement]) -> str:
    """In Markdown: forward / forward and backward, in ms."""
    lines = [f"| B, h, N, M, d | mask | dtype | {' | '.join(BACKENDS)} |", "|" + " --- |" * (3 + len(BACKENDS))]
    for row in rows:
        times = [row.milliseconds.get(name) for name in BACKENDS]
        cells = ["-" if t is None else f"{t[0]:.3g} / {t[1]:.3g}" for t in times]
        shape, dtype = ", ".join(map(str, row.shape)), str(row.dtype).removeprefix("torch.")
        lines.append(f"| {shape} | {'yes' if row.masked else 'no'} | {dtype} | {' | '.join(cells)} |")
    return "\n".join(lines)


def code(rows: Sequence[Measurement]) -> str:
    """As they stand in `ldmlab.attention.measured`."""
    told = []
    for row in rows:
        times = {name: tuple(float(f"{t:.3g}") for t in pair) for name, pair in row.milliseconds.items()}
        told.append(f"Measurement({row.device!r}, {row.capability}, {row.dtype}, {row.shape}, {row.masked}, {times}),")
    return "\n".join(told)


if __name__ == "__main__":
    found = measure(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    print(table(found), code(found), sep="\n\n")
