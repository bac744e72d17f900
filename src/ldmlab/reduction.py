"""Sums and means over the processes that train together; with one process, what is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function


def world_size() -> int:
    """How many processes train together; 1 where none have joined."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of the tensors that all processes give together, of one shape. Gradients go through it."""
    if world_size() == 1:
        return x
    total: Tensor = _Sum.apply(x)
    return total


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean of the tensors that all processes give together, of one shape. Gradients go through it."""
    return sum_over_ranks(x) / world if (world := world_size()) > 1 else x


def means_over_ranks(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The means of scalars that all processes give together, by the same names; reduced as one tensor."""
    if world_size() == 1:
        return dict(values)
    stacked = torch.stack([value.float() for value in values.values()])
    return dict(zip(values, mean_over_ranks(stacked), strict=True))


class _Sum(Function):
    """PyTorch's own of this kind, in `torch.distributed.nn`, is on its way out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)
