"""Random masks to train inpainting on: boxes, what is around a box, and strokes of a brush (Yu et al. 2019).

Shapes: B masks of h x w pixels. Lengths are shares of the picture's sides.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ldmlab.draws import Draws

BOX_SIDES = (0.2, 0.7)
STROKE_STEPS = 5
STROKE_LENGTH = (0.1, 0.4)
STROKE_RADIUS = (0.05, 0.12)


def random_masks(draws: Draws, height: int, width: int, device: torch.device | str = "cpu") -> Bool[Tensor, "B h w"]:
    """True where a picture is to be filled; a third of each kind.

    Args:
        draws: of B pictures; the device of its generator, where it has one, is where they are drawn.
        height: h.
        width: w.
        device: where they are wanted.
    """
    where = torch.device(device) if draws.generator is None else draws.generator.device
    uniform = partial(_uniform, draws, where)
    kinds = uniform(0, 3, 1, 1).floor()
    boxes, strokes = _boxes(uniform, height, width), _strokes(uniform, height, width)
    return torch.where(kinds == 0, boxes, torch.where(kinds == 1, ~boxes, strokes)).to(device)


def _uniform(draws: Draws, device: torch.device, low: float, high: float, *shape: int) -> Float[Tensor, "B ..."]:
    return low + (high - low) * draws.rand(*shape, device=device)


def _pixels(height: int, width: int, device: torch.device) -> tuple[Float[Tensor, "1 h 1"], Float[Tensor, "1 1 w"]]:
    """The centres of rows and columns."""
    rows, columns = ((torch.arange(n, device=device) + 0.5) / n for n in (height, width))
    return rows.view(1, -1, 1), columns.view(1, 1, -1)


def _boxes(uniform: partial[Tensor], height: int, width: int) -> Bool[Tensor, "B h w"]:
    """One a picture, its centre anywhere in it."""
    centres, sides = uniform(0, 1, 2, 1, 1).unbind(1), uniform(*BOX_SIDES, 2, 1, 1).unbind(1)
    rows, columns = _pixels(height, width, sides[0].device)
    return ((rows - centres[0]).abs() <= sides[0] / 2) & ((columns - centres[1]).abs() <= sides[1] / 2)


def _strokes(uniform: partial[Tensor], height: int, width: int) -> Bool[Tensor, "B h w"]:
    """One broken line a picture, of a round brush."""
    angles, lengths = uniform(0, 2 * torch.pi, STROKE_STEPS), uniform(*STROKE_LENGTH, STROKE_STEPS)
    radius, start = uniform(*STROKE_RADIUS, 1, 1), uniform(0, 1, 1, 2)
    steps = torch.stack([angles.sin(), angles.cos()], dim=-1) * lengths[..., None]
    corners = torch.cat([start, start + steps.cumsum(dim=1)], dim=1).clamp(0, 1)
    rows, columns = _pixels(height, width, corners.device)
    mask = torch.zeros(len(corners), height, width, dtype=torch.bool, device=corners.device)
    for index in range(STROKE_STEPS):
        mask |= _distance_squared(rows, columns, corners[:, index], corners[:, index + 1]) <= radius**2
    return mask


def _distance_squared(
    rows: Tensor, columns: Tensor, begin: Float[Tensor, "B 2"], end: Float[Tensor, "B 2"]
) -> Float[Tensor, "B h w"]:
    """Of every pixel to a segment."""
    y, x = (begin[:, axis].view(-1, 1, 1) for axis in (0, 1))
    dy, dx = ((end - begin)[:, axis].view(-1, 1, 1) for axis in (0, 1))
    along = ((rows - y) * dy + (columns - x) * dx) / (dy**2 + dx**2).clamp(min=1e-12)
    along = along.clamp(0, 1)
    return (rows - y - along * dy) ** 2 + (columns - x - along * dx) ** 2
