"""Checkpoints that are whole or not there, and that never run code when they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ldmlab.atomic import atomic_file
from ldmlab.models.plain_data import LONGEST, read_json
from ldmlab.models.stored import require_sound
from ldmlab.pretrained.weights import sha256_of
from ldmlab.tensor_file import check, write_tensors
from ldmlab.torch_file import read_torch, require_tensors, require_undamaged

FORMAT = "ldmlab"
CHECKPOINT = "last.ckpt"
"""The name of a run's newest checkpoint."""
PREVIOUS = "previous.ckpt"
"""The name of the one before."""
UNSEALED = {"format", "config", "ema"}
"""The metadata of files from before there was a digest."""
OF_A_FILTER = ("filter", "missing")
"""What `Checkpoint.data` has where a filter has chosen the samples."""


@dataclass(frozen=True)
class Checkpoint:
    """A model as it was saved.

    Attributes:
        config: what it is.
        state: its weights.
        ema: whether they are averaged.
        sha256: of the file.
        data: what it was trained on: "path", "heldout_path" (None for that of `path`), "image_size", "dataset" (the
            name of what `ldmlab data` wrote there, if it did), "fingerprint" of the training split (None where it is
            not known), "scaled_decoding" where its JPEG were decoded so, "filter" and "missing" where a `Filter` has
            chosen its samples; None where the file does not say.
    """

    config: dict[str, Any]
    state: dict[str, Tensor]
    ema: bool
    sha256: str
    data: dict[str, Any] | None = None


def read_lightning(path: Path) -> dict[str, Any]:
    """Everything in a training checkpoint, on the CPU.

    Raises:
        ValueError: the file is absent, damaged (a run's one before is named where that is whole), or holds more than
            plain data.
    """
    _require_file(path)
    try:
        checkpoint = read_torch(path)
    except ValueError as error:
        raise ValueError(f"{error}{_offer(path)}") from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"ckpt={path}: this is no training checkpoint of ldmlab")
    return checkpoint


def _offer(path: Path) -> str:
    """The checkpoint before a run's last one, if it is there and whole."""
    previous = path.with_name(PREVIOUS)
    if path.name != CHECKPOINT or not previous.is_file():
        return ""
    try:
        require_undamaged(previous, "ckpt")
    except ValueError:
        return ""
    return f"; {previous} is whole"


def read_checkpoint(path: Path, ema: bool = True) -> Checkpoint:
    """A model from a training checkpoint (.ckpt) or an exported file (.safetensors).

    Args:
        path: the file.
        ema: take the averaged weights where there are any.

    Raises:
        ValueError: the file is absent, damaged, unsafe, not ldmlab's, or holds only averages where raw weights are
            asked for.
    """
    return _read_exported(path, ema) if path.suffix == ".safetensors" else _read_training(path, ema)


def _read_exported(path: Path, ema: bool) -> Checkpoint:
    _require_file(path)
    try:
        seal = check(path)
        with safe_open(path, "pt") as stored:
            metadata = stored.metadata() or {}
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"ckpt={path}: this is no safetensors file, or it is cut off ({error})") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"ckpt={path}: these weights were not exported by ldmlab, so what they belong to is not known")
    if seal.digest is None and set(metadata) != UNSEALED:
        raise ValueError(f"ckpt={path}: the file is damaged (its header lacks its digest); get it anew")
    try:
        config, data = read_json(metadata.get("config", "null")), _facts(read_json(metadata.get("data", "null")))
    except ValueError as error:
        raise ValueError(f"ckpt={path}: its config {error}") from error
    averaged = metadata.get("ema") == "true"
    if averaged and not ema:
        raise ValueError(f"ckpt={path}: holds averaged weights alone; for ema=false give the run's last.ckpt")
    state = {name: t.float() if t.dtype == torch.float16 else t for name, t in state.items()}
    return Checkpoint(config, state, averaged, seal.sha256, data)


def _read_training(path: Path, ema: bool) -> Checkpoint:
    checkpoint = read_lightning(path)
    if "config" not in checkpoint or "state_dict" not in checkpoint:
        raise ValueError(f"ckpt={path}: this is no training checkpoint of ldmlab (it has no 'config')")
    state = require_tensors(checkpoint["state_dict"], path)
    prefix = "model." if any(name.startswith("model.") for name in state) else ""
    weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    averages = {
        name.removeprefix("ema.").replace("/", "."): value
        for name, value in state.items()
        if name.startswith("ema.") and name != "ema.updates"
    }
    if ema:
        weights |= averages
    data = _facts(checkpoint.get("data"))
    return Checkpoint(checkpoint["config"], weights, ema and bool(averages), sha256_of(path), data)


def _facts(data: Any) -> dict[str, Any] | None:
    """What a file says of its data, if that is what it should be: a stranger's may say anything."""
    kinds = {"path": str, "heldout_path": str | None, "image_size": int}
    kinds |= dict.fromkeys(("dataset", "fingerprint", *OF_A_FILTER), str | None)
    if not isinstance(data, dict) or not all(isinstance(data.get(key), kind) for key, kind in kinds.items()):
        return None
    facts = {key: data.get(key) for key in kinds if key not in OF_A_FILTER or data.get(key) is not None}
    facts |= {key: True for key in ("scaled_decoding",) if data.get(key) is True}
    words = [value for value in facts.values() if isinstance(value, str)]
    return facts if all(len(word) <= LONGEST and word.isprintable() for word in words) else None


def is_exported(path: Path) -> bool:
    """Whether this is a file that `export_weights` wrote."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, "pt") as stored:
            return (stored.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return False


def load_weights(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state dict that must fit exactly.

    Raises:
        ValueError: a key is missing, left over, of another shape, or holds what no model computes with; the first one
            is named.
    """
    expected = module.state_dict()
    require_fit(expected, state, path)
    try:
        require_sound(expected, state)
        module.load_state_dict(dict(state))
    except ValueError as error:  # of a tokenizer too, which is among the state
        raise ValueError(f"ckpt={path}: {error}") from error


def require_fit(expected: Mapping[str, Any], state: Mapping[str, Any], path: Path) -> None:
    """Compare the names and shapes of a model's state dict with those of a file.

    Raises:
        ValueError: a key is missing, left over, or of another shape; the first one is named.
    """
    for name in expected:
        if name not in state:
            raise ValueError(f"ckpt={path}: is of another architecture: it lacks '{name}'")
    for name, value in state.items():
        if name not in expected:
            raise ValueError(f"ckpt={path}: is of another architecture: it has '{name}', which the model lacks")
        ours = expected[name]
        if isinstance(ours, Tensor) and ours.shape != value.shape and not name.endswith("_extra_state"):
            shapes = f"{tuple(value.shape)} in the file, {tuple(ours.shape)} in the model"
            raise ValueError(f"ckpt={path}: is of another architecture: '{name}' is {shapes}")


def export_weights(
    path: Path,
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    ema: bool,
    half: bool = False,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write a model as one safetensors file, atomically; the same model gives the same bytes.

    Args:
        path: the file.
        state: its weights.
        config: what builds it.
        ema: whether they are averaged.
        half: write weights in fp16.
        data: what it was trained on, as `Checkpoint.data`.
    """
    tensors = {name: (in_half(t) if half else t).contiguous().cpu() for name, t in state.items()}
    metadata = {"format": FORMAT, "config": json.dumps(config, sort_keys=True), "ema": "true" if ema else "false"}
    if data is not None:
        metadata["data"] = json.dumps(data, sort_keys=True)
    with atomic_file(path) as file:
        write_tensors(file, tensors, metadata)


def in_half(tensor: Tensor) -> Tensor:
    """A tensor of real numbers in fp16; whole numbers and scalars as they are."""
    return tensor.half() if tensor.dtype == torch.float32 and tensor.ndim > 0 else tensor


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"ckpt={path}: no such file; give the path of a checkpoint (.ckpt or .safetensors)")
