"""Embeddings of timesteps and of positions on the latent grid."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ldmlab.types import Conditioning

MOST_POSITIONS = 1 << 25
"""Values in a table; it follows from a config, which may be a stranger's, and not from the weights."""


def sinusoidal(positions: Float[Tensor, " N"], width: int, max_period: float = 10000.0) -> Float[Tensor, "N width"]:
    """[cos, sin] of positions times width/2 frequencies that fall geometrically from 1 towards 1 / max_period."""
    half = width // 2
    exponent = torch.arange(half, dtype=positions.dtype, device=positions.device) / half
    angles = positions[:, None] * torch.exp(-math.log(max_period) * exponent)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedding(nn.Module):
    """Sinusoidal embedding of the integer timestep, then a two-layer MLP with SiLU.

    Args:
        frequency_width: width of the sinusoidal embedding.
        width: width of the hidden layer and of the output.
    """

    def __init__(self, frequency_width: int, width: int) -> None:
        super().__init__()
        self.frequency_width = frequency_width
        self.mlp = nn.Sequential(nn.Linear(frequency_width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, timesteps: Int[Tensor, " B"]) -> Float[Tensor, "B width"]:
        """One vector a timestep, for integers in [0, T)."""
        embedded = sinusoidal(timesteps.float(), self.frequency_width)
        return self.mlp(embedded.to(next(self.mlp.parameters()).dtype))


def grid_positions(rows: int, columns: int, width: int, base: int | None = None) -> Float[Tensor, "N width"]:
    """Fixed 2D sine-cosine table, tokens row by row: half of the width for x, then half for y.

    Each half is [sin, cos], computed in float64, as in MAE and DiT (Peebles & Xie 2023).

    Args:
        rows: of the grid.
        columns: of the grid.
        width: of the table.
        base: side of the grid whose positions are stretched over this one, as a picture is that is resized.
    """
    if width % 4:
        raise ValueError(f"backbone.width={width}: 2D sine-cosine positions need a multiple of 4")
    if rows * columns * width > MOST_POSITIONS:
        raise ValueError(f"backbone.width={width}: {rows}x{columns} positions of it are more than memory is taken for")
    with torch.device("cpu"):  # also for an outline: on its device, PyTorch would import its compiler to compute this
        places = [torch.arange(side, dtype=torch.float64) for side in (rows, columns)]
        if base is not None:
            places = [(each + 0.5) * (base / len(each)) - 0.5 for each in places]
        y, x = torch.meshgrid(*places, indexing="ij")
        halves = [sinusoidal(axis.flatten(), width // 2).roll(width // 4, dims=-1) for axis in (x, y)]
    return torch.cat(halves, dim=-1).float().to(torch.get_default_device())


@lru_cache(maxsize=64)
def positions_on(
    rows: int, columns: int, width: int, base: int | None, device: torch.device
) -> Float[Tensor, "N width"]:
    """`grid_positions` on a device, kept for the next pass over the same grid.

    Args:
        rows: of the grid.
        columns: of the grid.
        width: of the table.
        base: side of the grid whose positions are stretched over this one; None for the grid's own.
        device: of the table.
    """
    return grid_positions(rows, columns, width, base).to(device)


class VectorProjection(nn.Module):
    """Brings a conditioning vector to the width of the time embedding; the identity where it has that width."""

    def __init__(self, vector_width: int, width: int) -> None:
        super().__init__()
        self.project = nn.Identity() if vector_width == width else nn.Linear(vector_width, width)

    def forward(self, vector: Float[Tensor, "B V"]) -> Float[Tensor, "B width"]:
        """The vector at the width of the time embedding."""
        return self.project(vector)


def require_field(name: str, tensor: Tensor | None, asked_by: str) -> Tensor:
    """Return a field of a `Conditioning` that the backbone was built to read.

    Args:
        name: of the field.
        tensor: its value.
        asked_by: the backbone, for the message.

    Raises:
        ValueError: the conditioner did not give it.
    """
    if tensor is None:
        raise ValueError(f"{asked_by} was built to read '{name}' and the conditioner gives none; set its width to null")
    return tensor


def with_concat(x: Float[Tensor, "B C H W"], cond: Conditioning) -> Float[Tensor, "B Cjoint H W"]:
    """The noisy latents, followed by the channels of `cond.concat` where there are any."""
    return x if cond.concat is None else torch.cat([x, cond.concat], dim=1)
