"""What stops a run."""

from __future__ import annotations

import torch
from torch import Tensor


class NonFiniteLossError(ValueError):
    """A loss became NaN or infinite. Raised before the step that would spoil the weights."""


def check_finite(loss: Tensor, step: int) -> None:
    """Stop at a loss that is not a number.

    Raises:
        NonFiniteLossError: the loss is NaN or infinite.
    """
    if not bool(torch.isfinite(loss)):
        raise NonFiniteLossError(f"loss became {float(loss)} at step {step}; lower optimizer.lr or check the data")
