"""How Lightning writes and reads its checkpoints here. A module of its own: reading a model needs no Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from ldmlab.data.atomic import atomic_file
from ldmlab.training.checkpoints import read_lightning


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints through a temporary file in the same folder, synced and renamed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint; on any error the one before stays."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint without running code."""
        return read_lightning(Path(path))
