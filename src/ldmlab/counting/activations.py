"""What a training pass keeps in memory for its backward pass, counted without running it.

Shapes: B batch, h heads, N queries, M keys, d head width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from ldmlab.attention.backends import Mask


class SavedTensors:
    """Notes the tensors that autograd saves while modules run: their bytes, and the innermost module that saved them.

    A storage counts once, whole, however many views of it are saved; those of `without` count nothing.

    Args:
        without: tensors that lie in memory anyway, such as parameters.
    """

    def __init__(self, without: Iterable[Tensor]) -> None:
        self.bytes_of: dict[nn.Module, int] = defaultdict(int)
        self._storages = {_identity(tensor): tensor for tensor in without}  # held, so that no address is used again
        self._running: list[nn.Module] = []

    @contextmanager
    def open(self) -> Iterator[None]:
        """Note every tensor that autograd saves inside the block."""
        enter = register_module_forward_pre_hook(lambda module, inputs: self._running.append(module))
        leave = register_module_forward_hook(lambda module, inputs, output: self._leave(), always_call=True)
        try:
            with saved_tensors_hooks(self._note, lambda tensor: tensor):
                yield
        finally:
            enter.remove()
            leave.remove()

    def _leave(self) -> None:
        self._running.pop()

    def _note(self, tensor: Tensor) -> Tensor:
        if _identity(tensor) not in self._storages:
            self._storages[_identity(tensor)] = tensor.detach()
            self.bytes_of[self._running[-1]] += tensor.untyped_storage().nbytes()
        return tensor.detach()


def fused(
    q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], v: Float[Tensor, "B h M d"], mask: Mask
) -> Float[Tensor, "B h N d"]:
    """An attention backend that keeps what fused kernels keep and computes nothing, for tensors without data.

    That is queries, keys, values, the output and the log of the sum of each row, but no probabilities.
    """
    return _Fused.apply(q, k, v, mask)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
        batch, heads, queries, width = q.shape
        out = q.new_empty(batch, queries, heads, width).transpose(1, 2)  # so that its heads join without a copy
        rows = q.new_empty(batch, heads, queries, dtype=torch.float32)
        ctx.save_for_backward(q, k, v, out, rows, *([] if mask is None else [mask]))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise NotImplementedError


def _identity(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
