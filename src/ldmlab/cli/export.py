"""`ldmlab export`: a model of ours as a folder that other libraries load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from ldmlab.atomic import atomic_file, write_json
from ldmlab.interop.exporting import export_autoencoder, export_model
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import read_trusted
from ldmlab.tensor_file import write_tensors

TORCH = {"format": "pt"}
"""Without it transformers refuses a safetensors file."""


def run(cfg: DictConfig) -> None:
    """Write every file of the folder; the one that makes it a model comes last."""
    folder = Path(cfg.output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"output={folder}: is there already; give a new folder")
    checkpoint, model = read_trusted(cfg.ckpt, cfg.ema)
    if isinstance(model, LatentDiffusion):
        files = export_model(checkpoint.config, checkpoint.state, model)
    else:
        files = export_autoencoder(checkpoint.config, checkpoint.state)
    for name, content in files.items():
        _write(folder / name, content, cfg.half)
    print(f"folder for diffusers: {folder}")


def _write(path: Path, content: Any, half: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        write_json(path, content)
        return
    with atomic_file(path) as file:
        if isinstance(content, str):
            file.write(content.encode())
        else:
            write_tensors(file, _in_precision(content, half), TORCH)


def _in_precision(tensors: dict[str, Tensor], half: bool) -> dict[str, Tensor]:
    return {name: t.half() if half and t.dtype == torch.float32 else t for name, t in tensors.items()}
