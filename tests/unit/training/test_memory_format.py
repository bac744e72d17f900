from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from ldmlab.training.memory_format import keep_kernels, lay_out_states


def test_a_state_is_laid_out_as_its_parameter() -> None:
    """A checkpoint of a machine with another order in memory is gone on with, by fused steps too."""
    layers = [nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)]
    layers[1].load_state_dict(layers[0].state_dict())
    layers[1].to(memory_format=torch.channels_last)
    one, other = (torch.optim.AdamW(layer.parameters(), fused=True) for layer in layers)

    def step(layer: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        layer(torch.ones(1, 2, 4, 4)).square().sum().backward()
        optimizer.step()

    step(layers[0], one)
    layers[1].load_state_dict(layers[0].state_dict())
    other.load_state_dict(deepcopy(one.state_dict()))
    lay_out_states([other])
    for parameter, state in other.state.items():
        assert state["exp_avg"].stride() == parameter.stride()
    for layer, optimizer in zip(layers, (one, other), strict=True):
        optimizer.zero_grad()
        step(layer, optimizer)
    for name, weight in layers[0].named_parameters():
        torch.testing.assert_close(layers[1].get_parameter(name), weight)


@pytest.mark.parametrize("fused", [True, None])
def test_a_run_that_goes_on_steps_by_its_own_kernel(fused: bool | None) -> None:
    """Under a loss scale a fused step is told of it, and fails where the checkpoint has made it another."""
    parameter = nn.Parameter(torch.ones(3))
    before = torch.optim.AdamW([parameter], fused=None if fused else True)
    now = torch.optim.AdamW([parameter], fused=fused)
    parameter.grad = torch.ones(3)
    before.step()
    now.load_state_dict(deepcopy(before.state_dict()))
    keep_kernels([now])
    assert now.param_groups[0]["fused"] is fused
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(parameter.square().sum()).backward()
    scaler.step(now)
    assert now.state[parameter]["step"] == 2


def test_optimizers_without_kernels_to_choose_from_are_left_alone() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Rprop([parameter])
    before = deepcopy(optimizer.state_dict())
    keep_kernels([optimizer])
    assert optimizer.state_dict() == before
