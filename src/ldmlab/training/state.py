"""What identifies weights."""

from __future__ import annotations

import hashlib

from torch import nn


def state_sha256(module: nn.Module) -> str:
    """Hash over the names and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
