"""The size of a step's gradients, on their device: nothing waits for it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.precision import at_least_fp32
from ldmlab.training.strategies.shares import whole


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Float[Tensor, ""]:
    """The Euclidean norm of all gradients as one vector, whichever rank holds them; 0 where there are none."""
    norm = torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    return at_least_fp32(whole(norm))
