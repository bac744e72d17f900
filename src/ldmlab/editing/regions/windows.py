"""Canvases larger than a model's grid: the mean of its estimates in overlapping windows (MultiDiffusion, Bar-Tal 2023).

A backbone knows one grid (a Diffusion Transformer has a position for each of its cells), so each window has that size.

Shapes: B batch, C channels, H x W canvas, h x w the model's grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.guidance.base import GuidedDenoiser
from ldmlab.types import Estimate, Level

OVERLAP = 0.5
"""Where none is asked for."""
Window = tuple[slice, slice]
"""Its rows and columns, in latents."""


def windowed(denoise: GuidedDenoiser, windows: Sequence[Window]) -> GuidedDenoiser:
    """Estimates on a canvas, from those in its windows; 0 where there is no window. An only one is of the whole canvas.

    MultiDiffusion takes the mean of the windows' next x. A step of first order is affine in the clean estimate with
    the same weights everywhere, so the mean of the estimates is the same, and serves every other sampler too.

    Args:
        denoise: on the model's grid (h, w).
        windows: of that size, as `windows_over` gives them.
    """

    def estimate(x: Tensor, level: Level) -> Estimate:
        denoised, mix = _Mean(x), _Mean(x)
        for window in windows:
            part = denoise.estimate(x[..., *window], level)
            denoised.add(part.denoised, window)
            if part.variance_mix is not None:
                mix.add(part.variance_mix, window)
        return Estimate(denoised.value(), mix.value() if mix.windows else None)

    return GuidedDenoiser(estimate)


def check_overlap(overlap: float | None) -> None:
    """Refuse a share outside [0, 1).

    Raises:
        ValueError: it is one.
    """
    if overlap is not None and not 0 <= overlap < 1:
        raise ValueError(f"overlap={overlap}: a share of the window's side in [0, 1); {OVERLAP} is usual")


def window_starts(side: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along a side, evenly spread from one end to the other.

    Args:
        side: of the canvas.
        window: side of a window.
        overlap: least share of it that is in common with the neighbour.

    Raises:
        ValueError: the side is shorter than the window.
    """
    if side < window:
        raise ValueError(f"a canvas of {side} latents is smaller than the model's grid of {window}; use a larger one")
    stride = max(1, int(window * (1 - overlap)))
    gaps = -(-(side - window) // stride)
    return [round(index * (side - window) / gaps) for index in range(gaps + 1)] if gaps else [0]


def windows_over(canvas: Sequence[int], window: Sequence[int], overlap: float = OVERLAP) -> list[Window]:
    """The windows that cover a canvas.

    Args:
        canvas: H and W, at least the window's.
        window: h and w.
        overlap: least share of a window's side that it has in common with its neighbour.

    Raises:
        ValueError: the overlap is outside [0, 1), or the canvas is smaller than the window.
    """
    check_overlap(overlap)
    return [
        (slice(top, top + window[0]), slice(left, left + window[1]))
        for top in window_starts(canvas[0], window[0], overlap)
        for left in window_starts(canvas[1], window[1], overlap)
    ]


class _Mean:
    """Of what windows say of a canvas, added up as it comes."""

    def __init__(self, canvas: Float[Tensor, "B C H W"]) -> None:
        self.windows = 0
        self._total = torch.zeros_like(canvas)
        self._count = canvas.new_zeros(canvas.shape[-2:])

    def add(self, part: Float[Tensor, "B C h w"], window: Window) -> None:
        self.windows += 1
        self._total[..., *window] += part
        self._count[window] += 1

    def value(self) -> Float[Tensor, "B C H W"]:
        return self._total / self._count.clamp(min=1)
