"""How an optimizer's tensors lie in memory and are stepped, where a run goes on from another machine's checkpoint."""

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


def keep_kernels(optimizers: Iterable[Optimizer]) -> None:
    """Step by the kernels that this run asks for; PyTorch takes over those of the checkpoint, with all settings.

    A fused step wants its count beside the parameter, any other on the CPU.
    """
    for optimizer in optimizers:
        if "fused" not in optimizer.defaults:
            continue
        for group in optimizer.param_groups:
            group |= {name: optimizer.defaults[name] for name in ("fused", "foreach")}
            beside = bool(group["fused"] or group.get("capturable"))
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                if isinstance(state.get("step"), Tensor):
                    state["step"] = state["step"].to(parameter.device if beside else "cpu")
