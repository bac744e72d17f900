"""Bounds on what building a model may make, so that a stranger's config cannot ask for more than its file holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as registry

MOST_TENSORS = 20_000
SPARE_TENSORS = 500
"""So that what differs a little from its file is told by the names of its tensors."""
SPARE_VALUES = 1 << 25
"""Of tables that follow from the config and are in no file: positions, masks."""
MODULES_PER_TENSOR = 16


@contextmanager
def no_larger_than(sizes: Iterable[int]) -> Iterator[None]:
    """While modules are made, count their tensors and stop once there are more, or larger ones, than a file holds.

    Args:
        sizes: values of each tensor in the file.

    Raises:
        ValueError: so it is.
    """
    stored = [*sizes]
    tensors = min(len(stored), MOST_TENSORS) + SPARE_TENSORS
    values = sum(stored) + SPARE_VALUES
    modules = tensors * MODULES_PER_TENSOR
    made = {"tensors": 0, "values": 0, "modules": 0}

    def count_tensor(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        made["tensors"] += tensor is not None
        made["values"] += 0 if tensor is None else tensor.numel()
        check()

    def count_module(module: nn.Module, name: str, child: Any) -> None:
        made["modules"] += 1
        check()

    def check() -> None:
        if made["tensors"] > tensors or made["values"] > values or made["modules"] > modules:
            raise ValueError("is of another architecture: its config describes a larger model than the file holds")

    with ExitStack() as hooks:
        hooks.enter_context(registry.register_module_parameter_registration_hook(count_tensor))
        hooks.enter_context(registry.register_module_buffer_registration_hook(count_tensor))
        hooks.enter_context(registry.register_module_module_registration_hook(count_module))
        yield
