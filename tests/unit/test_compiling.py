from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.compiling import LEAST_PASSES, as_written, compile_networks, programs, worth_compiling

CPU, GPU = torch.device("cpu"), torch.device("cuda")


class Counter:
    """A backend that runs graphs as they are, and counts them and their runs."""

    def __init__(self) -> None:
        self.programs = self.runs = 0

    def __call__(self, graph: Any, inputs: Any) -> Callable[..., Any]:
        self.programs += 1

        def run(*args: Any) -> Any:
            self.runs += 1
            return graph.forward(*args)

        return run


class Blocks(nn.Module):
    """Equal blocks, which it names as its programs."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(depth))

    def programs(self) -> list[nn.Module]:
        return list(self.blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("wanted", "device", "passes", "expected"),
    [
        ("auto", GPU, LEAST_PASSES, True),
        ("auto", GPU, LEAST_PASSES - 1, False),
        ("auto", CPU, 10**9, False),
        (True, CPU, 1, True),
        (False, GPU, 10**9, False),
    ],
)
def test_auto_compiles_on_a_gpu_where_it_pays(
    wanted: str | bool, device: torch.device, passes: int, expected: bool
) -> None:
    assert worth_compiling(wanted, device, passes) is expected


@torch.no_grad()
def test_equal_blocks_share_a_program_and_names_stay() -> None:
    network, backend = Blocks(12), Counter()
    names, x = list(network.state_dict()), torch.randn(3, 4)
    plain = network(x)
    compile_networks([network], backend)
    assert torch.equal(network(x), plain)
    assert (backend.programs, backend.runs) == (1, 12)
    assert list(network.state_dict()) == names


def test_many_networks_are_all_compiled() -> None:
    """PyTorch gives up after 8 programs, of whatever modules."""
    backend = Counter()
    networks = [nn.Sequential(*(nn.Linear(2, 2) for _ in range(depth))) for depth in range(1, 10)]
    compile_networks(networks, backend)
    for network in networks:
        assert programs(network) == [network]
        network(torch.randn(2, 2))
    assert backend.programs == 9


def test_under_a_control_it_runs_as_it_is_written() -> None:
    network, backend = Blocks(2), Counter()
    compile_networks([network], backend)
    network(torch.randn(2, 4))
    with as_written():
        network(torch.randn(2, 4))
    assert backend.runs == 2
    with as_written(False):
        network(torch.randn(2, 4))
    assert backend.runs == 4


def test_a_python_that_nothing_is_compiled_for_is_told_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("torch.compile is not supported on Python 9")

    monkeypatch.setattr(torch, "compile", refuse)
    network = Blocks(2)
    with caplog.at_level(logging.WARNING, "ldmlab.compiling"):
        compile_networks([network])
    assert caplog.messages == ["compile: RuntimeError: torch.compile is not supported on Python 9; runs uncompiled"]
    assert network(torch.ones(1, 4)).shape == (1, 4)


def test_what_cannot_be_compiled_runs_and_says_why_once(caplog: pytest.LogCaptureFixture) -> None:
    tries = []

    def broken(graph: Any, inputs: Any) -> Any:
        tries.append(graph)
        raise RuntimeError("\nno compiler here\nand much more")

    networks, x = [Blocks(2), nn.Sequential(nn.Linear(4, 3))], torch.randn(2, 4)
    plain = [network(x) for network in networks]
    compile_networks(networks, broken)
    with caplog.at_level(logging.WARNING, "ldmlab.compiling"):
        for network, wanted in zip(networks, plain, strict=True):
            assert torch.equal(network(x), wanted)
            network(x).sum().backward()
    assert caplog.messages == ["compile: RuntimeError: no compiler here; runs uncompiled"]
    assert len(tries) == 1
