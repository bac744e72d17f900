"""Models that have shapes and no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


@contextmanager
def without_memory() -> Iterator[None]:
    """Modules that are made inside are outlines, on the meta device."""
    with torch.device("meta"), _NotFilled():
        yield


class _NotFilled(TorchFunctionMode):
    """Fills nothing with random numbers: there is nothing to fill, and PyTorch would import its compiler to do so."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given: Mapping[str, Any] = kwargs or {}
        if func.__name__ == "normal_":
            return args[0] if args else given["tensor"]
        return func(*args, **given)
