"""What stops a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class NonFiniteError(ValueError):
    """A loss or a weight became NaN or infinite."""


def check_finite(loss: Tensor, step: int) -> None:
    """Stop at a loss that is not a number.

    Raises:
        NonFiniteError: the loss is NaN or infinite.
    """
    if not bool(torch.isfinite(loss)):
        raise NonFiniteError(f"loss became {float(loss.detach())} at step {step}; lower optimizer.lr or check the data")


def check_finite_state(state: Mapping[str, Any], step: int) -> None:
    """Stop before spoilt weights replace a good checkpoint.

    Raises:
        NonFiniteError: a weight is NaN or infinite.
    """
    for name, value in state.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise NonFiniteError(f"'{name}' became NaN or infinite by step {step}; lower optimizer.lr")
