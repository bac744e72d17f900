"""What backends of attention took on a GPU, and the fastest for a shape that is like a measured one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

CANDIDATES = ("sdpa", "sdpa_flash", "sdpa_cudnn", "sdpa_efficient", "xformers")
"""Backends that `auto` chooses from: those without the probabilities in memory. Of equal times the first wins."""
REACH = 4
"""How many times more or fewer queries, keys and channels a head than measured a row still speaks for."""


@dataclass(frozen=True)
class Measurement:
    """Times of one call, medians on one GPU.

    Attributes:
        device: its name.
        capability: its compute capability; GPUs of the same one run the same kernels.
        dtype: of queries, keys and values.
        shape: B batch, h heads, N queries, M keys, d head width.
        masked: whether a mask of (B, 1, 1, M) was given.
        milliseconds: of each backend, forward alone, and forward with backward.
    """

    device: str
    capability: tuple[int, int]
    dtype: torch.dtype
    shape: tuple[int, int, int, int, int]
    masked: bool
    milliseconds: Mapping[str, tuple[float, float]]


H200 = ("NVIDIA H200", (9, 0), torch.bfloat16)
MEASURED = (
    Measurement(*H200, (64, 16, 256, 256, 72), False, {"sdpa": (0.086, 0.56), "explicit": (0.25, 0.96)}),
    Measurement(*H200, (16, 8, 4096, 4096, 40), False, {"sdpa": (1.18, 4.46), "explicit": (9.0, 19.5)}),
    Measurement(*H200, (16, 8, 4096, 77, 40), True, {"sdpa": (0.25, 0.69), "explicit": (0.76, 1.90)}),
)
"""torch 2.11.0+cu130, 2026-11-27. PyTorch's kernels one by one, and xFormers', have not been measured."""

Key = tuple[int, bool, bool, int, int, int]


class FastestBackend:
    """Names the fastest candidate for tensors of attention. It looks at nothing but dtype, shape and need of gradients.

    Args:
        rows: measurements on GPUs of one compute capability.
        without: candidates that cannot run here.
    """

    def __init__(self, rows: Iterable[Measurement], without: Iterable[str] = ()) -> None:
        names = [name for name in CANDIDATES if name not in set(without)]
        self._rows: list[tuple[Key, str]] = []
        for row in rows:
            for backward in (False, True):
                times = {name: row.milliseconds[name][backward] for name in names if name in row.milliseconds}
                if times:
                    key = (row.dtype.itemsize, row.masked, backward, *row.shape[2:])
                    self._rows.append((key, min(times, key=times.__getitem__)))
        self._known: dict[Key, str] = {}

    def __call__(self, q: Tensor, k: Tensor, mask: Tensor | None) -> str:
        """The name of the fastest candidate for tensors of attention; "sdpa" where nothing like them was measured.

        Args:
            q: (B, h, N, d).
            k: (B, h, M, d).
            mask: True where a key may be attended to.
        """
        backward = torch.is_grad_enabled() and q.requires_grad
        key = (q.dtype.itemsize, mask is not None, backward, q.shape[2], k.shape[2], q.shape[3])
        if torch.compiler.is_compiling():
            return self._nearest(key)
        if key not in self._known:
            self._known[key] = self._nearest(key)
        return self._known[key]

    def _nearest(self, key: Key) -> str:
        """By the product of the ratios of N, M and d, each at least 1."""
        fastest, least = "sdpa", float("inf")
        for measured, name in self._rows:
            ratios = [max(a / b, b / a) for a, b in zip(key[3:], measured[3:], strict=True)]
            distance = ratios[0] * ratios[1] * ratios[2]
            if key[:3] == measured[:3] and max(ratios) <= REACH and distance < least:
                fastest, least = name, distance
        return fastest
