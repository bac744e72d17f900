"""What a finished run leaves for others: `model.safetensors`, or `adapter.safetensors` where it trained an adapter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ldmlab.models.checkpoints import Checkpoint, export_weights, in_half, read_checkpoint
from ldmlab.models.stored import LENDER

MODEL, ADAPTER = "model.safetensors", "adapter.safetensors"


@dataclass(frozen=True)
class Export:
    """The averaged weights of a training checkpoint, and what they belong to, as a file in the run's folder.

    Attributes:
        folder: of the run.
        half: write weights in fp16.
        lender: the shipped model whose autoencoder it was trained with, and which is named in its place; None puts the
            autoencoder's weights into the file.
        name: of the file.
    """

    folder: Path
    half: bool = False
    lender: str | None = None
    name: str = MODEL

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name

    def write(self, checkpoint: Path) -> Path:
        """Write the file, and return its path."""
        model = self._model(checkpoint)
        export_weights(self.path, model.state, model.config, model.ema, self.half, model.data)
        return self.path

    def is_written(self, checkpoint: Path) -> bool:
        """Whether the file is there and holds what this checkpoint does."""
        model = self._model(checkpoint)
        try:
            found = read_checkpoint(self.path)
        except ValueError:
            return False
        if (found.config, found.ema, set(found.state)) != (model.config, model.ema, set(model.state)):
            return False
        written = {name: in_half(t).to(t.dtype) if self.half else t for name, t in model.state.items()}
        return all(torch.equal(t, found.state[name]) for name, t in written.items())

    def _model(self, path: Path) -> Checkpoint:
        """What is exported of a checkpoint."""
        stored = read_checkpoint(path)
        alone = stored.config["model"] == "autoencoder"
        state = {name: t for name, t in stored.state.items() if self._belongs(name, alone)}
        lent = {} if self.lender is None else {LENDER: self.lender}
        return replace(stored, state=state, config={**stored.config, **lent})

    def _belongs(self, name: str, alone: bool) -> bool:
        is_autoencoders = name.startswith("autoencoder.")
        return is_autoencoders if alone else self.lender is None or not is_autoencoders
