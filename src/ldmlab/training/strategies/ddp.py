"""Data-parallel training: every rank has the whole model and a share of each batch, and gradients are averaged."""

from __future__ import annotations

import inspect
from typing import Any

from lightning.pytorch.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

NAMES = inspect.signature(DistributedDataParallel).parameters
BROADCAST = "forward_sync_buffers" if "forward_sync_buffers" in NAMES else "broadcast_buffers"
"""What PyTorch calls it, since 2.13 and before."""


class DDP(DDPStrategy):
    """Lightning's, as a run wants it.

    Buffers are not broadcast: averages of weights and statistics are made alike on every rank, from what is alike. And
    parameters that a loss does not depend on are looked for only where a training has such.

    Args:
        gradient_as_bucket_view: gradients lie where they are sent from, which spares a copy.
        settings: more of Lightning's strategy and of PyTorch's `DistributedDataParallel`.
    """

    def __init__(self, gradient_as_bucket_view: bool = True, **settings: Any) -> None:
        super().__init__(**{BROADCAST: False, "gradient_as_bucket_view": gradient_as_bucket_view, **settings})

    def configure_ddp(self) -> None:
        """Wrap the model."""
        sparse = getattr(self.lightning_module, "leaves_parameters_out", False)
        self._ddp_kwargs.setdefault("find_unused_parameters", sparse)
        super().configure_ddp()
