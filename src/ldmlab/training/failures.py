"""What stops a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class NonFiniteError(ValueError):
    """A loss or a weight became NaN or infinite."""


class LossWatch:
    """Looks every n losses whether they are finite, because to look is to wait for the GPU.

    On a CPU, where that costs nothing, each loss is looked at as it is noted.

    Args:
        every: n, at least 1.
    """

    def __init__(self, every: int) -> None:
        if every < 1:
            raise ValueError(f"training.nan_check_every={every}: look every step (1) or less often, for example 50")
        self.every = every
        self._noted: list[tuple[int, Tensor]] = []

    def note(self, loss: Float[Tensor, ""], step: int) -> None:
        """Remember a step's loss, and look when it is time.

        Raises:
            NonFiniteError: see `look`.
        """
        self._noted.append((step, loss.detach()))
        if loss.device.type == "cpu" or len(self._noted) >= self.every:
            self.look()

    def look(self) -> None:
        """Look at the losses since the last look, in one transfer.

        Raises:
            NonFiniteError: at the first that is NaN or infinite.
        """
        noted, self._noted = self._noted, []
        if noted:
            losses = torch.stack([loss.float() for _, loss in noted]).cpu()
            for (step, _), loss in zip(noted, losses, strict=True):
                check_finite(loss, step)


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
