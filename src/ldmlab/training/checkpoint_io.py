"""How Lightning writes and reads its checkpoints here. A module of its own: reading a model needs no Lightning."""

from __future__ import annotations

import os
import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch.utils._pytree import tree_map_only

from ldmlab.atomic import atomic_file
from ldmlab.models.checkpoints import CHECKPOINT, PREVIOUS, read_lightning


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints through a temporary file in the same folder, synced and renamed.

    A run's one before stays as `previous.ckpt`, if it is known to be whole: read or written by this process.
    """

    def __init__(self) -> None:
        super().__init__()
        self._whole: set[Path] = set()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint; on any error, and at a kill at any moment, those before stay."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            _write(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
            if path.name == CHECKPOINT and path.absolute() in self._whole and path.is_file():
                _keep(path)
        self._whole.add(path.absolute())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint without running code."""
        checkpoint = read_lightning(Path(path))
        self._whole.add(Path(path).absolute())
        return checkpoint


class BackgroundCheckpointIO(AtomicCheckpointIO):
    """Writes a copy on the host while training goes on, one at a time: the next waits until it is written.

    What goes wrong in the background is raised by whatever waits for it: the next checkpoint, or the run's end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Begin to write a checkpoint, once the one before is written."""
        self.teardown()
        copy = tree_map_only(torch.Tensor, _copied, checkpoint)
        self._writing = self._writer.submit(super().save_checkpoint, copy, path)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint without running code, once what is being written is."""
        self.teardown()
        return super().load_checkpoint(path, map_location, weights_only)

    def teardown(self) -> None:
        """Wait for what is being written; it can be gone on with afterwards."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def _write(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    """Write it. OSError where the disk is full, which PyTorch tells as an error of its own."""
    try:
        torch.save(checkpoint, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    """On the host, and nobody else's."""
    return tensor.detach().to("cpu", copy=True)


def _keep(path: Path) -> None:
    """Give the file at a path its second name; where the file system has no such links, its only one."""
    previous = path.with_name(PREVIOUS)
    link = path.with_name(f".{PREVIOUS}.{secrets.token_hex(8)}.tmp")
    try:
        os.link(path, link)
    except OSError:
        os.replace(path, previous)
    else:
        os.replace(link, previous)
