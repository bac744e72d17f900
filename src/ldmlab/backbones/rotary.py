"""Rotary positions (Su et al. 2021) on a grid: queries and keys are turned by where they are.

Shapes: B batch, h heads, N = rows * columns tokens, d head width.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Rotation = Float[Tensor, "2 N d"]
"""Cosines and sines of the angles by which each token's components are turned."""


def grid_rotation(rows: int, columns: int, head_width: int, max_period: float = 10000.0) -> Rotation:
    """Axial: the first half of a head turns with the row, the second with the column, as in FLUX (2024).

    A half has d/4 frequencies, which fall geometrically from 1 towards 1 / max_period; each turns a pair of neighbours.
    The first token is not turned, as words are not that have no place on the grid.

    Raises:
        ValueError: the head's width is no multiple of 4.
    """
    if head_width % 4:
        raise ValueError(f"head_width={head_width}: rotary positions on a grid need a multiple of 4")
    half = head_width // 2
    frequencies = max_period ** -(torch.arange(0, half, 2, dtype=torch.float64) / half)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = torch.cat([axis.flatten()[:, None] * frequencies for axis in (y, x)], dim=-1)
    angles = angles.repeat_interleave(2, dim=-1)
    return torch.stack([angles.cos(), angles.sin()]).float()


def rotate(x: Float[Tensor, "B h N d"], rotation: Rotation) -> Float[Tensor, "B h N d"]:
    """Turn each pair of components (2i, 2i + 1); products of queries and keys then depend on differences of places."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([-odd, even], dim=-1).flatten(-2)
    cos, sin = rotation
    return (x * cos + turned * sin).to(x.dtype)
