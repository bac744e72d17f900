"""Models made without what their weights will replace: memory, or initial values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

RANDOM = ("normal_", "uniform_")
"""The methods of tensors that torch.nn.init fills them with."""


@contextmanager
def without_memory() -> Iterator[None]:
    """Make modules on the meta device inside the block: outlines, with names and shapes and no memory for weights."""
    with torch.device("meta"), Uninitialised():
        yield


class Uninitialised(TorchFunctionMode):
    """Leaves weights as they are, when weights are to be loaded, or when there are none.

    Nothing is drawn from the global generator. On the meta device PyTorch would import its compiler to initialise.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given: Mapping[str, Any] = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init" or func.__name__ in RANDOM:
            return args[0] if args else given["tensor"]
        return func(*args, **given)
