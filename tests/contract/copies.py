"""Counts what is copied between devices, and what waits for one, on a GPU that need not be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "bincount", "_unique2", "is_nonzero", "equal")
"""Operations whose result, or its size, the host has to know."""


class Copies(TorchDispatchMode):
    """Notes each operation that copies from one device to another, or that waits for one that is not the CPU.

    A scalar on the CPU among an operation's arguments goes to the kernel by value, which is no copy.

    Attributes:
        seen: the operations, with their devices.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given, name = _devices((args, kwargs)), func.overloadpacket.__name__
        if (name in WAITS or _masks(name, args)) and given - {"cpu"}:
            self.seen.append(f"{name} waits for {sorted(given)}")
        result = func(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_") and len(given | _devices(result)) > 1:
            self.seen.append(f"{name} {sorted(given)} -> {sorted(_devices(result))}")
        return result


def fake_gpu() -> FakeTensorMode:
    """A context in which tensors and modules on device "cuda" have shapes and no values."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def _devices(tree: Any) -> set[str]:
    return {leaf.device.type for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}


def _masks(name: str, args: Sequence[Any]) -> bool:
    """Whether it selects by True and False, so that the result is as large as there are Trues."""
    return name == "index" and any(str(getattr(leaf, "dtype", "")) == "torch.bool" for leaf in tree_leaves(args[1]))
