"""What identifies weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor, nn


def state_sha256(module: nn.Module) -> str:
    """Hash over the names and bytes of all parameters and buffers."""
    return tensors_sha256(module.state_dict())


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """The same of such parameters and buffers by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
