"""Canvases larger than a model's grid: the mean of its estimates in overlapping windows (MultiDiffusion, Bar-Tal 2023).

A backbone knows one grid (a Diffusion Transformer has a position for each of its cells), so each window has that size.

Shapes: B batch, C channels, H x W canvas, h x w the model's grid.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from ldmlab.guidance.base import GuidedDenoiser
from ldmlab.types import Estimate, Level


def windowed(denoise: GuidedDenoiser, window: tuple[int, int], overlap: float = 0.5) -> GuidedDenoiser:
    """Estimates on any canvas of at least the window's size; on one of that very size, those of `denoise` itself.

    MultiDiffusion takes the mean of the windows' next x. A step of first order is affine in the clean estimate with
    the same weights everywhere, so the mean of the estimates is the same, and serves every other sampler too.

    Args:
        denoise: on the model's grid (h, w).
        window: h and w.
        overlap: least share of a window's side that it has in common with its neighbour.

    Raises:
        ValueError: the overlap is outside [0, 1).
    """
    check_overlap(overlap)

    def estimate(x: Tensor, level: Level) -> Estimate:
        tiles = _tiles(x.shape[-2], x.shape[-1], window, overlap)
        parts = [denoise.estimate(x[..., rows, columns], level) for rows, columns in tiles]
        mixes = [part.variance_mix for part in parts if part.variance_mix is not None]
        denoised = _mean([part.denoised for part in parts], tiles, x)
        return Estimate(denoised, _mean(mixes, tiles, x) if mixes else None)

    return GuidedDenoiser(estimate)


def check_overlap(overlap: float) -> None:
    """Refuse a share outside [0, 1).

    Raises:
        ValueError: it is one.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap={overlap}: a share of the window's side in [0, 1); 0.5 is usual")


def starts(side: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along a side, evenly spread from one end to the other.

    Raises:
        ValueError: the side is shorter than the window.
    """
    if side < window:
        raise ValueError(f"a canvas of {side} latents is smaller than the model's grid of {window}; use a larger one")
    stride = max(1, int(window * (1 - overlap)))
    gaps = -(-(side - window) // stride)
    return [round(index * (side - window) / gaps) for index in range(gaps + 1)] if gaps else [0]


def _tiles(height: int, width: int, window: tuple[int, int], overlap: float) -> list[tuple[slice, slice]]:
    return [
        (slice(top, top + window[0]), slice(left, left + window[1]))
        for top in starts(height, window[0], overlap)
        for left in starts(width, window[1], overlap)
    ]


def _mean(parts: Sequence[Tensor], tiles: Sequence[tuple[slice, slice]], canvas: Tensor) -> Float[Tensor, "B C H W"]:
    total, count = parts[0].new_zeros(canvas.shape), parts[0].new_zeros(canvas.shape[-2:])
    for part, (rows, columns) in zip(parts, tiles, strict=True):
        total[..., rows, columns] += part
        count[rows, columns] += 1
    return total / count
