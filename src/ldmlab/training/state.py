"""What identifies weights, and what trains them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from torch import nn
from torch.optim import Optimizer


def state_sha256(module: nn.Module) -> str:
    """Hash over the names and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def optimizer_names(optimizers: Iterable[Optimizer]) -> list[str]:
    """Their classes."""
    return [f"{type(each).__module__}.{type(each).__qualname__}" for each in optimizers]
