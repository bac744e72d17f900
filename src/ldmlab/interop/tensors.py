"""Weight files, of which each tensor is read when it is asked for, and in which no code can hide."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ldmlab.tensor_file import check, is_sealed
from ldmlab.torch_file import read_torch, require_tensors

SAFETENSORS = ".safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
SUFFIXES = (SAFETENSORS, *PICKLES)


class StandIn:
    """Takes the place of a class that files of PyTorch Lightning name as the key of a setting, and does nothing."""


STAND_INS: list[Any] = [
    (StandIn, f"{package}.callbacks.{module}.{name}")
    for package in ("pytorch_lightning", "lightning.pytorch")
    for module, name in (("model_checkpoint", "ModelCheckpoint"), ("early_stopping", "EarlyStopping"))
]
"""Names that the released training checkpoints hold beside their tensors. Nothing of theirs is imported or run."""


class TensorShapes(dict[str, torch.Size]):
    """Shapes by name, which tell what a file lacks where one is asked for that is not there."""

    def __init__(self, shapes: Mapping[str, torch.Size], source: Path, prefix: str) -> None:
        super().__init__(shapes)
        self.where = f"path={source}: lacks '{prefix}"

    def __missing__(self, name: str) -> torch.Size:
        raise ValueError(f"{self.where}{name}'")


@dataclass(frozen=True)
class Tensors:
    """Named tensors whose shapes are known and whose values are read on demand.

    Attributes:
        source: the file or folder, for messages.
        prefix: what stands before the names in the file.
        shapes: of every tensor.
        load: reads one by its name.
        metadata: what a safetensors file says besides.
    """

    source: Path
    shapes: Mapping[str, torch.Size]
    load: Callable[[str], Tensor]
    prefix: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", TensorShapes(self.shapes, self.source, self.prefix))

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def under(self, prefix: str) -> Tensors:
        """The tensors whose names begin with `prefix`, by what follows it."""
        names = {name.removeprefix(prefix): shape for name, shape in self.shapes.items() if name.startswith(prefix)}
        return Tensors(self.source, names, lambda name: self.load(prefix + name), self.prefix + prefix)

    def outside(self, prefixes: tuple[str, ...]) -> Tensors:
        """The tensors whose names begin with none of the prefixes."""
        names = {name: shape for name, shape in self.shapes.items() if not name.startswith(prefixes)}
        return Tensors(self.source, names, self.load, self.prefix)

    def without(self, names: Collection[str]) -> Tensors:
        """The tensors that have none of these names."""
        return replace(self, shapes={name: shape for name, shape in self.shapes.items() if name not in names})

    def renamed(self, names: Mapping[str, str]) -> Tensors:
        """The tensors by other names.

        Args:
            names: the new name, and the one that the tensor has here.
        """
        shapes = {new: self.shapes[old] for new, old in names.items()}
        return Tensors(self.source, shapes, lambda name: self.load(names[name]), self.prefix)


def read_tensors(path: Path, ema: bool = True) -> Tensors:
    """Open a weight file by its suffix.

    Args:
        path: the file.
        ema: of a training checkpoint of DiT, which holds both, take the averaged weights.

    Raises:
        ValueError: it is absent, of another kind, cut off, or needs more than plain tensors to be read.
    """
    if not path.is_file():
        raise ValueError(f"path={path}: no such file; give the path of a checkpoint")
    if path.suffix == SAFETENSORS:
        return _safetensors(path)
    if path.suffix in PICKLES:
        return from_state(path, _state_dict(path, read_torch(path, "path", STAND_INS, mmap=True), ema))
    raise ValueError(f"path={path}: files ending in '{path.suffix}' are no weights; give {', '.join(SUFFIXES)}")


def from_state(source: Path, state: Mapping[str, Tensor]) -> Tensors:
    """Tensors that are in memory, or mapped into it."""
    return Tensors(source, {name: tensor.shape for name, tensor in state.items()}, state.__getitem__)


def _safetensors(path: Path) -> Tensors:
    try:
        stored = safe_open(path, "pt")
        metadata = stored.metadata() or {}
        shapes = {name: torch.Size(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"path={path}: this is no safetensors file, or it is cut off ({error})") from error
    if is_sealed(path):
        check(path, "path")
    if metadata.get("format") == "ldmlab":
        raise ValueError(f"path={path}: is in ldmlab's format already; give it to a command as ckpt={path}")
    return Tensors(path, shapes, stored.get_tensor, metadata=metadata)


def _state_dict(path: Path, content: Any, ema: bool) -> dict[str, Tensor]:
    """The weights in a file: itself, or its entry `state_dict`, or what DiT's training calls `ema` and `model`."""
    for entry in ("state_dict", *(("ema", "model") if ema else ("model", "ema"))):
        if isinstance(content, dict) and isinstance(content.get(entry), dict):
            content = content[entry]
    return require_tensors(content, path, "path")
