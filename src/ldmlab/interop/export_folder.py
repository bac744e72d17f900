"""A model of ours as a folder that diffusers loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmlab.atomic import atomic_file, write_json
from ldmlab.interop.exporting import export_autoencoder, export_model
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import read_merged, read_trusted
from ldmlab.tensor_file import write_tensors

TORCH = {"format": "pt"}
"""Without it transformers refuses a safetensors file."""


def export_folder(
    ckpt: str,
    folder: Path,
    ema: bool = True,
    half: bool = False,
    adapter_ckpt: str | None = None,
    adapter_scale: float = 1.0,
) -> None:
    """Write every file of the folder; the one that makes it a model comes last.

    Args:
        ckpt: a file of ours, or the name of a shipped model.
        folder: new, or empty.
        ema: take the averaged weights.
        half: write fp32 in half precision.
        adapter_ckpt: an adapter of the model, which is put into its weights; None for none.
        adapter_scale: how much of it.

    Raises:
        ValueError: the folder holds something, the checkpoint is not one of ours, or diffusers has no such model.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"output={folder}: is there already; give a new folder")
    if adapter_ckpt is None:
        checkpoint, model = read_trusted(ckpt, ema)
    else:
        checkpoint, model = read_merged(ckpt, ema, adapter_ckpt, adapter_scale)
    if isinstance(model, LatentDiffusion):
        files = export_model(checkpoint.config, checkpoint.state, model)
    else:
        files = export_autoencoder(checkpoint.config, checkpoint.state)
    for name, content in files.items():
        _write(folder / name, content, half)


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


def _in_precision(tensors: Mapping[str, Tensor], half: bool) -> dict[str, Tensor]:
    return {name: t.half() if half and t.dtype == torch.float32 else t for name, t in tensors.items()}
