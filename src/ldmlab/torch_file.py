"""Files of `torch.save` that may be a stranger's: read as plain data and tensors, never as code, in bounded memory."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmlab.pickle_scan import MOST_BYTES, require_modest

PICKLE = "data.pkl"
SHARED = 2
"""Times that the tensors of a file may be as large as the file: some share their memory."""


def read_torch(path: Path, key: str = "ckpt", stand_ins: Sequence[Any] = (), mmap: bool = False) -> Any:
    """What a zip archive of PyTorch holds, on the CPU.

    Args:
        path: the file.
        key: the setting that named it, for messages.
        stand_ins: (class, name) of what may be named in the pickle, and the harmless class that takes its place.
        mmap: read tensors when they are used.

    Raises:
        ValueError: the file is damaged, or holds more than plain data and tensors.
    """
    require_undamaged(path, key)
    try:
        with torch.serialization.safe_globals([*stand_ins]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{key}={path}: refused, because reading it would run code or build objects other than tensors "
            f"({_culprit(error)}); convert it to safetensors where you trust it"
        ) from error
    except Exception as error:  # a pickle made by hand raises whatever its maker likes
        raise ValueError(f"{key}={path}: this is no checkpoint of PyTorch ({error})") from error


def require_undamaged(path: Path, key: str) -> None:
    """Refuse an archive that is damaged, or as PyTorch never writes one: packed, or with parts that are others too.

    Raises:
        ValueError: it is, or its pickle builds more than it holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            strange = _strange(archive.infolist(), path.stat().st_size)
            damaged = archive.testzip() if strange is None else None
    except Exception as error:  # a damaged archive raises anything from BadZipFile to NotImplementedError
        raise ValueError(f"{key}={path}: this is no checkpoint of PyTorch, or it is cut off ({error})") from error
    if strange is not None:
        raise ValueError(f"{key}={path}: {strange}, which PyTorch never does; save it anew")
    if damaged is not None:
        raise ValueError(f"{key}={path}: the file is damaged at '{damaged}'; use another checkpoint")
    try:
        require_modest(torch._C.PyTorchFileReader(str(path)).get_record(PICKLE))
    except ValueError as error:
        raise ValueError(f"{key}={path}: refused, because its pickle is not plain data ({error})") from error
    except RuntimeError as error:
        raise ValueError(f"{key}={path}: this is no checkpoint of PyTorch ({_first_line(error)})") from error


def _strange(members: Sequence[zipfile.ZipInfo], size: int) -> str | None:
    """What is odd about the members of an archive of so many bytes, in which PyTorch finds "a" by the name "A"."""
    left = size
    for member in members:
        folder, _, name = member.filename.rpartition("/")
        left -= member.file_size
        if member.compress_type != zipfile.ZIP_STORED:
            return f"is packed at '{member.filename}'"
        if left < 0:
            return f"has '{member.filename}' where other parts are"
        if folder.lower().endswith("/data") and not name.isdecimal():
            return f"calls a tensor '{name}'"
        if name.lower() == PICKLE and member.file_size > MOST_BYTES:
            return f"has {member.file_size:,} bytes beside its tensors"
    return None


def require_tensors(state: Any, path: Path, key: str = "ckpt") -> dict[str, Tensor]:
    """A state dict whose tensors are what they seem: dense, in memory, and together no larger than their file.

    Raises:
        ValueError: one is not; it is named.
    """
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"{key}={path}: holds no named tensors; give a state dict")
    left = SHARED * path.stat().st_size
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{key}={path}: '{name}' is a {type(tensor).__name__}, not a tensor; give a state dict")
        dense = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        left -= tensor.numel() * tensor.element_size()
        if not isinstance(name, str) or not dense or left < 0:
            raise ValueError(
                f"{key}={path}: '{str(name)[:60]}' is no plain tensor, or larger than the file; save it anew"
            )
    return dict(state)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _culprit(error: Exception) -> str:
    """The name that torch refuses, out of its long message."""
    words = str(error).split()
    return words[words.index("GLOBAL") + 1] if "GLOBAL" in words else "its pickle is not plain data"
