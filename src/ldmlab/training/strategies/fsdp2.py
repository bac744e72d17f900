"""Fully sharded data parallelism (Zhao et al. 2023; PyTorch's FSDP2) as a strategy of Lightning's Trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.strategy import Strategy
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.optim import Optimizer

from ldmlab.training.strategies.shares import share, shared_as, whole_state

DIMENSIONS = ("data_parallel", "tensor_parallel")
"""Of Lightning's meshes."""


class FSDP2(ModelParallelStrategy):
    """Each rank holds its share of weights, gradients, averages and the optimizer's state; blocks are gathered in turn.

    Checkpoints are those of one process: whole files of rank 0, from which any number of ranks and any strategy go on.

    Args:
        process_group_backend: "nccl" or "gloo"; by the device if not given.
    """

    def __init__(self, process_group_backend: str | None = None) -> None:
        super().__init__(
            tensor_parallel_size=1, save_distributed_checkpoint=False, process_group_backend=process_group_backend
        )

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Whether Lightning hands over the optimizer's state of a checkpoint."""
        return True

    def setup_environment(self) -> None:
        """Begin the group of processes and a mesh of them all: once, also before there is a module to train."""
        if self._device_mesh is None:
            self._setup_distributed()
            shape = (self.world_size, 1)
            self._device_mesh = init_device_mesh(self.root_device.type, shape, mesh_dim_names=DIMENSIONS)

    def share(self, network: nn.Module, methods: tuple[str, ...] = ()) -> None:
        """Leave each rank its share of a network, see `ldmlab.training.strategies.shares.share`."""
        share(network, self.device_mesh["data_parallel"], methods)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The whole state on rank 0; on others, its names. All ranks call this together."""
        return whole_state(self._module(), keep=self.is_global_zero)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """As `lightning_module_state_dict`, of an optimizer."""
        optimizer = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        return whole_state(optimizer, keep=self.is_global_zero)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint, as any other strategy does."""
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take this rank's share of a whole state."""
        own = self._module().state_dict()
        state = {n: shared_as(v, own[n]) if n in own else v for n, v in checkpoint["state_dict"].items()}
        self._module().load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """As `load_model_state_dict`, of optimizers."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(_shared(state, optimizer))

    def teardown(self) -> None:
        """Finish writing checkpoints as well, which Lightning's leaves to chance."""
        super().teardown()
        self.checkpoint_io.teardown()

    def _module(self) -> nn.Module:
        module = self.lightning_module
        assert module is not None
        return module


def _shared(state: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer's state with the values that are as large as a parameter in shares, as the parameter is."""
    parameters = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
    values = {
        number: {
            name: shared_as(value, parameters[number])
            if isinstance(value, torch.Tensor) and value.shape == parameters[number].shape
            else value
            for name, value in each.items()
        }
        for number, each in state["state"].items()
    }
    return {**state, "state": values}
