"""How tensors lie in memory, where a run goes on from a checkpoint of a machine that laid them out otherwise."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


def lay_out_states(optimizers: Iterable[Optimizer]) -> None:
    """Order the values of each state as its parameter's, which a fused step asks for."""
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                alike = isinstance(value, Tensor) and value.shape == parameter.shape
                if alike and value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
