"""Adapters of whole models, to and from files: `adapter.safetensors` holds an adapter alone and names its base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmlab.adapters.base import Adapter, adapter_parameters, scale_adapter
from ldmlab.models.build import Make
from ldmlab.models.checkpoints import Checkpoint, read_checkpoint, require_fit
from ldmlab.models.component import build_component
from ldmlab.models.fingerprint import tensors_sha256
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.plain_data import shown
from ldmlab.models.stored import ADAPTER, require_sound, require_stored
from ldmlab.precision import at_least_fp32

KEY = "adapter_ckpt"
BACKBONE = "denoiser.backbone."
"""What names in files begin with."""


@dataclass(frozen=True)
class AdapterFile:
    """Where a model's adapter came from, how much of it is shown, and what it was trained on, see `Checkpoint`."""

    path: Path
    sha256: str
    scale: float
    data: dict[str, Any] | None = None

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
    known_as = {"base": base_sha256(model), "base_name": Path(base).name if Path(base).is_file() else base}
    adapter.attach(model.denoiser.backbone)
    return {"model": ADAPTER, ADAPTER: dict(section), **known_as, "image_size": image_size(model)}


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
    with _about(path):
        checkpoint = _read_for(model, path, ema)
        adapter: Adapter = build_component(checkpoint.config[ADAPTER], Adapter, "adapter")
        shapes = adapter.shapes(model.denoiser.backbone)
        outline = {f"{BACKBONE}{name}": torch.empty(shape, device="meta") for name, shape in shapes.items()}
        require_fit(outline, checkpoint.state, path)  # before there is memory for it
        adapter.attach(model.denoiser.backbone)
        _fill(model, checkpoint.state, path)
    scale_adapter(model, scale)
    return AdapterFile(path, checkpoint.sha256, scale, checkpoint.data)


def begin_adapter(model: LatentDiffusion, ckpt: str) -> None:
    """Take an adapter's averaged weights into one that is attached to the same model, to train it further.

    Raises:
        ValueError: as `load_adapter`, or the adapter in the file is of another shape.
    """
    path = Path(ckpt)
    with _about(path):
        _fill(model, _read_for(model, path, ema=True).state, path)


def read_adapter(path: Path, ema: bool = True) -> Checkpoint:
    """Read a file that holds an adapter.

    Raises:
        ValueError: it is absent, damaged, unsafe, or holds something else.
    """
    checkpoint = read_checkpoint(path, ema)
    config = require_stored(checkpoint.config)
    if config["model"] != ADAPTER:
        raise ValueError(f"ckpt={path}: holds a {config['model'].replace('_', ' ')} and no adapter")
    if not all(isinstance(config.get(key), str) for key in ("base", "base_name")):
        raise ValueError(f"ckpt={path}: does not say which model it belongs to")
    return checkpoint


def base_sha256(model: LatentDiffusion) -> str:
    """What identifies a model's weights, whatever has been attached to them since."""
    own = adapter_parameters(model).keys()
    return tensors_sha256({n: at_least_fp32(t) for n, t in model.state_dict().items() if n not in own})


def image_size(model: LatentDiffusion) -> int:
    """Side in pixels of the pictures that a model was made for."""
    return model.latent_shape[1] * model.autoencoder.factor


def _read_for(model: LatentDiffusion, path: Path, ema: bool) -> Checkpoint:
    """An adapter's file, which has to belong to this model."""
    checkpoint = read_adapter(path, ema)
    if checkpoint.config["base"] != base_sha256(model):
        name = shown(checkpoint.config["base_name"])
        raise ValueError(f"ckpt={path}: was trained on another model, {name}; give that one")
    return checkpoint


def _fill(model: LatentDiffusion, state: Mapping[str, Tensor], path: Path) -> None:
    parameters = adapter_parameters(model)
    require_fit(parameters, state, path)
    require_sound(parameters, state)
    with torch.no_grad():
        for name, tensor in state.items():
            parameters[name].copy_(tensor)


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Name the key and the file in what is wrong with it."""
    try:
        yield
    except ValueError as error:
        reason = str(error) if str(error).startswith("ckpt=") else f"ckpt={path}: {error}"
        raise ValueError(reason.replace("ckpt=", f"{KEY}=", 1)) from error
