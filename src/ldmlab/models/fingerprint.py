"""What identifies weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor, nn


def state_sha256(module: nn.Module) -> str:
    """SHA-256 over the names and bytes of all parameters and buffers of a module."""
    return tensors_sha256(module.state_dict())


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names and bytes of tensors, as of a module's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
