"""Weights of which each rank holds a share (PyTorch's FSDP2), and the whole of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

Network = TypeVar("Network", bound=nn.Module)
VIEWS = "FSDP2-wrapped module .* returned a view tensor"
"""A warning of PyTorch's at what nothing here is done in place with."""


def share(network: nn.Module, mesh: DeviceMesh, methods: Iterable[str] = ()) -> None:
    """Leave each rank its share of a network's weights; the whole is gathered for a pass, block by block.

    Args:
        network: the same on all ranks. What of it is shared already stays so.
        mesh: of one dimension, the ranks.
        methods: that compute with its weights beside `forward`, and do not call each other.
    """
    if all(isinstance(parameter, DTensor) for parameter in network.parameters()):
        return
    warnings.filterwarnings("ignore", VIEWS)
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.contiguous()  # shares are rows
    for part in (*stages(network), network):
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    for method in methods:
        register_fsdp_forward_method(network, method)


def outline(network: Network) -> Network:
    """A copy without data, on the meta device, of a network that is to be shared: its passes gather nothing."""
    weights = {id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in network.parameters()}
    return copy.deepcopy(network, weights | {id(buffer): buffer.to("meta") for buffer in network.buffers()})


def stages(network: nn.Module) -> list[nn.Module]:
    """The blocks that a network names itself (`stages()`), whose weights are gathered one by one; else none."""
    named: Callable[[], Iterable[nn.Module]] | None = getattr(network, "stages", None)
    return [] if named is None else list(named())


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Inside the block each rank holds the whole weights, and computes with them alone. All ranks enter it together."""
    parts = [part for part in module.modules() if isinstance(part, FSDPModule)]
    with torch.inference_mode(False), torch.no_grad():  # or what is gathered could not be trained with later
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(True, recurse=False)


def local(tensor: Tensor) -> Tensor:
    """This rank's share of a tensor, not a copy; the tensor itself where it is whole."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor on all ranks, which call this together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shared_as(tensor: Tensor, like: Tensor) -> Tensor:
    """This rank's share of a tensor that all ranks have, on the same device and in the same rows as another's."""
    if not isinstance(like, DTensor) or isinstance(tensor, DTensor):
        return tensor
    tensor = tensor.detach().to(like.device)
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def whole_state(part: nn.Module | Optimizer, keep: bool) -> dict[str, Any]:
    """The state of a module or an optimizer with whole tensors on the CPU, which all ranks make together and few keep.

    Args:
        part: whose state.
        keep: whether this rank does; where not, there is None in the place of what was in shares.
    """

    def made(tensor: DTensor) -> Tensor | None:
        full = tensor.full_tensor()
        return full.cpu() if keep else None

    with torch.inference_mode(False), torch.no_grad():  # in a validation too
        state: dict[str, Any] = tree_map_only(DTensor, made, dict(part.state_dict()))
    return state
