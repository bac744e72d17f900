"""Local weight files: their checksum and their safe loading. Nothing here touches the network."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ldmlab.torch_file import require_undamaged


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_checksum(path: Path, expected: str, fix: str) -> None:
    """Refuse a weights file that is absent or is not the expected one.

    Args:
        path: the weights file.
        expected: its SHA-256, or the digits that it starts with.
        fix: one sentence that says how to get the right file.

    Raises:
        ValueError: the file is absent, or its checksum is another.
    """
    found = sha256_of(require_file(path, fix))
    if not found.startswith(expected):
        raise ValueError(f"weights file '{path}' has sha256 {found}, expected {expected}; {fix}")


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Load a state dict of plain tensors onto the CPU, from safetensors or a file of `torch.save`; code is refused.

    Args:
        path: the file. A training checkpoint may hold the state dict under "state_dict" or "model".

    Raises:
        ValueError: the file holds something else than a dictionary of tensors.
    """
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            if zipfile.is_zipfile(path):
                _refuse_script(path)
                require_undamaged(path, "weights")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle made by hand raises whatever its maker likes
        raise ValueError(f"weights file '{path}' is no state dict of plain tensors: {error}") from error
    for entry in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(entry), dict):
            state = state[entry]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"weights file '{path}' is no state dict of plain tensors; give the file of a state dict")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _refuse_script(path: Path) -> None:
    """Refuse what would run as it is read, whose own reader does not say so."""
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise ValueError(
                "it is a program of TorchScript, as OpenAI's own files are; give a .safetensors of the same"
            )


def require_file(path: Path | str | None, fix: str) -> Path:
    """The path of a weights file that is there.

    Args:
        path: of the file, or None where none is named.
        fix: one sentence that says how to get the right file.

    Raises:
        ValueError: no path is given, or no file is there.
    """
    if path is None:
        raise ValueError(f"weights is null; {fix}")
    if not Path(path).is_file():
        raise ValueError(f"weights file '{path}' does not exist; {fix}")
    return Path(path)
