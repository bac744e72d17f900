from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from ldmlab.training.memory_format import lay_out_states


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
