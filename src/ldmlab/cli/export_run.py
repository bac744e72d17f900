"""What a finished run leaves for others: `model.safetensors`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from omegaconf import DictConfig

from ldmlab.models.checkpoints import Checkpoint, export_weights, in_half, read_checkpoint
from ldmlab.models.shipped import SHIPPED_MODEL
from ldmlab.models.stored import LENDER

MODEL = "model.safetensors"


def export_run(cfg: DictConfig, checkpoint: Path) -> None:
    """Write the averaged weights of a training checkpoint, and what they belong to, into the run's folder."""
    path, model = Path(cfg.output_dir) / MODEL, _model(cfg, checkpoint)
    export_weights(path, model.state, model.config, model.ema, cfg.export_half, model.data)
    print(f"model: {path}")


def is_exported(cfg: DictConfig, checkpoint: Path) -> bool:
    """Whether the model of a checkpoint is in the run's folder."""
    model = _model(cfg, checkpoint)
    try:
        found = read_checkpoint(Path(cfg.output_dir) / MODEL)
    except ValueError:
        return False
    if (found.config, found.ema, set(found.state)) != (model.config, model.ema, set(model.state)):
        return False
    written = {name: in_half(t).to(t.dtype) if cfg.export_half else t for name, t in model.state.items()}
    return all(torch.equal(t, found.state[name]) for name, t in written.items())


def _model(cfg: DictConfig, path: Path) -> Checkpoint:
    """What is exported of a checkpoint."""
    stored = read_checkpoint(path)
    state = {name: t for name, t in stored.state.items() if _belongs(cfg, name)}
    lent = {} if cfg.get("export_autoencoder", True) else {LENDER: cfg.autoencoder_ckpt or SHIPPED_MODEL}
    return replace(stored, state=state, config={**stored.config, **lent})


def _belongs(cfg: DictConfig, name: str) -> bool:
    is_autoencoders = name.startswith("autoencoder.")
    return is_autoencoders if cfg.model.name == "autoencoder" else cfg.export_autoencoder or not is_autoencoders
