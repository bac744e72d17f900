"""Shares of one rank, which are whole and yet of the kind that several ranks have; tests/ranks has more of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributed import HashStore, destroy_process_group, init_process_group
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from ldmlab.training.ema import EMA
from ldmlab.training.flops import training_flops
from ldmlab.training.gradients import gradient_norm
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.strategies.shares import gathered, outline, share, shared_as, stages, whole_state


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
        self.last = nn.Linear(3, 1, bias=False)

    def stages(self) -> list[nn.Module]:
        return list(self.blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x).tanh()
        return self.last(x)

    def null(self) -> torch.Tensor:
        return self.last.weight.sum()


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    """Of a group of one process, this one."""
    init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    destroy_process_group()


@pytest.fixture
def network() -> Blocks:
    torch.manual_seed(0)
    return Blocks()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(1))


def test_a_shared_network_learns_what_a_whole_one_does(mesh: DeviceMesh, network: Blocks, x: torch.Tensor) -> None:
    torch.manual_seed(0)
    plain, losses = Blocks(), []
    share(network, mesh, methods=("null",))
    share(network, mesh)  # a second time is none
    assert all(isinstance(each, DTensor) for each in network.parameters())
    for each in (plain, network):
        optimizer = torch.optim.Adam(each.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            loss = each(x).square().mean() + each.null().square()
            loss.backward()
            losses.append((float(loss.detach()), float(gradient_norm(each.parameters()))))
            optimizer.step()
        state = whole_state(optimizer, keep=True)
        losses.append(state["state"][0]["exp_avg"].clone())
    assert losses[:3] == losses[4:7]
    assert torch.equal(losses[3], losses[7])
    assert all(torch.equal(v, plain.state_dict()[n]) for n, v in whole_state(network, keep=True).items())


def test_a_state_is_kept_by_those_that_want_it(mesh: DeviceMesh, network: Blocks) -> None:
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    share(network, mesh)
    kept, dropped = (whole_state(network, keep=keep) for keep in (True, False))
    assert set(dropped.values()) == {None}
    assert list(kept) == list(dropped) == list(expected)
    assert all(torch.equal(value, expected[name]) for name, value in kept.items())
    assert not any(isinstance(value, DTensor) for value in kept.values())


def test_averages_follow_into_shares(mesh: DeviceMesh, network: Blocks, x: torch.Tensor) -> None:
    torch.manual_seed(0)
    plain = Blocks()
    averages = EMA(plain.named_parameters(), 0.5), EMA(network.named_parameters(), 0.5)
    share(network, mesh)
    averages[1].follow(network)
    for model, ema in zip((plain, network), averages, strict=True):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1)
        ema.update()
    a, b = averages[0].state_dict(), whole_state(averages[1], keep=True)
    assert list(a) == list(b)
    assert all(torch.equal(a[name], b[name]) for name in a)
    with averages[0].swapped(), torch.no_grad():
        expected = plain(x)
    with averages[1].swapped(), averages[1].swapped(), torch.inference_mode():
        assert torch.equal(network(x), expected)
        raw = whole_state(network, keep=True)  # a checkpoint amid is of the raw weights
    assert all(torch.equal(value, raw[name]) for name, value in plain.state_dict().items())
    assert torch.equal(network(x), plain(x))
    network(x).sum().backward()  # what was gathered in inference mode can be trained with


def test_what_is_gathered_is_shared_again_after_an_error(mesh: DeviceMesh, network: Blocks) -> None:
    share(network, mesh, methods=("null",))
    with pytest.raises(RuntimeError, match="inside"), gathered(network):  # noqa: PT012
        network.null()
        assert not any(isinstance(each, DTensor) for each in network.parameters())
        raise RuntimeError("inside")
    assert all(isinstance(each, DTensor) for each in network.parameters())


def test_shares_of_whole_tensors(mesh: DeviceMesh, network: Blocks) -> None:
    plain = torch.arange(9.0).view(3, 3)
    assert shared_as(plain, plain) is plain
    share(network, mesh)
    shared = shared_as(plain, network.blocks[0].weight)
    assert isinstance(shared, DTensor)
    assert torch.equal(shared.full_tensor(), plain)
    assert shared_as(shared, network.blocks[0].weight) is shared


def test_a_network_without_weights_or_blocks(mesh: DeviceMesh) -> None:
    share(nn.SiLU(), mesh)
    assert stages(nn.Linear(1, 1)) == []


def test_operations_are_counted_of_an_outline(
    diffusion_training: Callable[..., LatentDiffusionTraining], batches: Callable[..., list[dict[str, object]]]
) -> None:
    module, batch = diffusion_training(), batches(1)[0]
    counted = training_flops(module, batch)
    object.__setattr__(module, "outline", outline(module.model))
    assert {each.device.type for each in module.outline.parameters()} == {"meta"}  # type: ignore[union-attr]
    module.model = None  # type: ignore[assignment]
    assert training_flops(module, batch) == counted


def test_an_outline_learns_what_the_network_does(network: Blocks) -> None:
    network.blocks[0].requires_grad_(False)
    learns = partial(map, lambda parameter: parameter.requires_grad)
    assert list(learns(outline(network).parameters())) == list(learns(network.parameters()))
