"""Adapters of whole models, to and from files: `adapter.safetensors` holds an adapter alone and names its base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmlab.adapters.base import Adapter, adapter_parameters, merge_adapter, scale_adapter
from ldmlab.models.build import Make
from ldmlab.models.checkpoints import Checkpoint, read_checkpoint, require_fit
from ldmlab.models.component import build_component
from ldmlab.models.fingerprint import tensors_sha256
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.plain_data import shown
from ldmlab.models.stored import ADAPTER, require_sound, require_stored
from ldmlab.precision import at_least_fp32

KEY = "adapter_ckpt"


@dataclass(frozen=True)
class AdapterFile:
    """Where a model's adapter came from, and how much of it is shown."""

    path: Path
    sha256: str
    scale: float

    def record(self) -> dict[str, str | float]:
        """What is written of the adapter beside pictures and figures, without folders."""
        return {"file": self.path.name, "sha256": self.sha256, "scale": self.scale}


def adapt(
    model: LatentDiffusion, section: Mapping[str, Any], base: str, make: Make = build_component
) -> dict[str, Any]:
    """Attach a new adapter to a model, which draws what it drew, to the bit.

    Args:
        model: whole, without an adapter.
        section: the adapter's plain config.
        base: what the user calls the model.
        make: builds a section.

    Returns:
        The config of the adapter's files.

    Raises:
        ValueError: the model has no layer that it adapts.
    """
    adapter: Adapter = make(section, Adapter, "adapter")
    known_as = {"sha256": base_sha256(model), "name": Path(base).name if Path(base).is_file() else base}
    adapter.attach(model.denoiser.backbone)
    return {"model": ADAPTER, ADAPTER: dict(section), "base": known_as, "image_size": image_size(model)}


def load_adapter(model: LatentDiffusion, ckpt: str, scale: float = 1.0, ema: bool = True) -> AdapterFile:
    """Attach the adapter of a file to the model that it was trained on.

    Args:
        model: its base, in fp32 and without an adapter.
        ckpt: an `adapter.safetensors`, or the last.ckpt of the run that trains it.
        scale: 0 is the base alone, 1 what was trained; any number.
        ema: take the averaged weights.

    Raises:
        ValueError: the file is absent, damaged, unsafe, holds no adapter, or that of another model.
    """
    path = Path(ckpt)
    try:
        checkpoint = read_adapter(path, ema)
        base = checkpoint.config["base"]
        if base["sha256"] != base_sha256(model):
            raise ValueError(f"ckpt={path}: was trained on another model, {shown(base['name'])}; give it as ckpt=")
        adapter = build_component(checkpoint.config[ADAPTER], Adapter, "adapter")
        _fill(model, adapter, checkpoint.state, path)
    except ValueError as error:
        told = str(error) if str(error).startswith("ckpt=") else f"ckpt={path}: {error}"
        raise ValueError(told.replace("ckpt=", f"{KEY}=", 1)) from error
    scale_adapter(model, scale)
    return AdapterFile(path, checkpoint.sha256, scale)


def read_adapter(path: Path, ema: bool = True) -> Checkpoint:
    """Read a file that holds an adapter.

    Raises:
        ValueError: it is absent, damaged, unsafe, or holds something else.
    """
    checkpoint = read_checkpoint(path, ema)
    config = require_stored(checkpoint.config)
    if config["model"] != ADAPTER:
        raise ValueError(f"ckpt={path}: holds a {config['model'].replace('_', ' ')} and no adapter")
    base = config.get("base")
    if not isinstance(base, dict) or not all(isinstance(base.get(key), str) for key in ("sha256", "name")):
        raise ValueError(f"ckpt={path}: does not say which model it belongs to")
    return checkpoint


def base_sha256(model: LatentDiffusion) -> str:
    """What identifies a model's weights, whatever has been attached to them since."""
    own = adapter_parameters(model).keys()
    return tensors_sha256({n: at_least_fp32(t) for n, t in model.state_dict().items() if n not in own})


def merged(model: LatentDiffusion) -> LatentDiffusion:
    """The model, changed in place, with its adapter in its own weights: it draws the same to rounding."""
    merge_adapter(model)
    return model


def image_size(model: LatentDiffusion) -> int:
    """Side in pixels of the pictures that a model was made for."""
    return model.latent_shape[1] * model.autoencoder.factor


def _fill(model: LatentDiffusion, adapter: Adapter, state: Mapping[str, Tensor], path: Path) -> None:
    """Attach, and load what is in the file, which has been found to fit before there is memory for it."""
    prefix = "denoiser.backbone."
    shapes = adapter.shapes(model.denoiser.backbone)
    outline = {f"{prefix}{name}": torch.empty(shape, device="meta") for name, shape in shapes.items()}
    require_fit(outline, state, path)
    require_sound(outline, state)
    adapter.attach(model.denoiser.backbone)
    parameters = adapter_parameters(model)
    with torch.no_grad():
        for name, tensor in state.items():
            parameters[name].copy_(tensor)
