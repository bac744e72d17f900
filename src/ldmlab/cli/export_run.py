"""What a finished run leaves for others: `model.safetensors`."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from ldmlab.cli.build import SHIPPED_MODEL
from ldmlab.cli.resume import CHECKPOINT
from ldmlab.models.stored import LENDER
from ldmlab.training.checkpoints import export_weights, read_checkpoint


def export_run(cfg: DictConfig, folder: Path) -> None:
    """Write the averaged weights of the last checkpoint, and what they belong to."""
    checkpoint = read_checkpoint(folder / CHECKPOINT)
    state = {k: v for k, v in checkpoint.state.items() if _belongs(cfg.model.name, k)}
    path = folder / "model.safetensors"
    config = checkpoint.config
    if not cfg.get("export_autoencoder", True):
        state = {name: tensor for name, tensor in state.items() if not name.startswith("autoencoder.")}
        config = {**config, LENDER: cfg.autoencoder_ckpt or SHIPPED_MODEL}
    export_weights(path, state, config, checkpoint.ema, cfg.export_half, checkpoint.data)
    print(f"model: {path}")


def _belongs(model: str, name: str) -> bool:
    return model != "autoencoder" or name.startswith("autoencoder.")
