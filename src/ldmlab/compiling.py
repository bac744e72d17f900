"""Networks as compiled programs (`torch.compile`): what becomes one, when that pays, and what happens where it fails.

Modules are compiled in place, so names of parameters and the keys of checkpoints stay. Compiled is only what no control
looks into: under one, a network runs as it is written.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

log = logging.getLogger(__name__)

Backend = Callable[..., Callable[..., Any]]
LEAST_PASSES = 5000
"""From which on compiling is thought to pay: it takes half a minute or more, and saves 3 to 20 ms a pass."""
MOST_PROGRAMS = 64
"""That all compiled modules together may come to; PyTorch's 8 are too few for a model, its decoder and a weaker model,
each in training and evaluation and for two sizes of batch."""


def worth_compiling(wanted: str | bool, device: torch.device, passes: int) -> bool:
    """Whether to compile a network, as a user wants or as pays on the device.

    Args:
        wanted: True, False, or "auto" for a GPU and so many passes that it is worth the wait.
        device: where the network runs.
        passes: of the network in all.
    """
    if wanted == "auto":
        return device.type == "cuda" and passes >= LEAST_PASSES
    return wanted is True


def programs(network: nn.Module) -> list[nn.Module]:
    """The parts of a network that are compiled: those that it names itself (`programs()`), else the whole.

    Blocks of a Transformer are alike and share one program, which takes as long to make as one of them.
    """
    named: Callable[[], Iterable[nn.Module]] | None = getattr(network, "programs", None)
    return [network] if named is None else list(named())


def compile_networks(networks: Iterable[nn.Module], backend: str | Backend = "inductor") -> None:
    """Compile networks in place, each part when it is first called. Where that fails, a line says why, and it runs.

    Args:
        networks: of each, the parts that `programs` names are compiled.
        backend: of `torch.compile`, by name or as a function (graph, inputs) -> callable.
    """
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_PROGRAMS)
    torch._dynamo.config.suppress_errors = True  # what PyTorch cannot read runs as it is written, and it says so
    make = torch._dynamo.lookup_backend(backend) if isinstance(backend, str) else backend
    guarded = _OrAsWritten(make)  # one for all: programs are shared by those of one backend
    try:
        for network in networks:
            for part in programs(network):
                part.compile(backend=guarded)
    except RuntimeError as error:  # a Python that this PyTorch compiles nothing for
        _tell(error)


def as_written(wanted: bool = True) -> AbstractContextManager[object]:
    """Run what is compiled as it is written, inside the block, if that is wanted."""
    if not wanted or "torch._dynamo" not in sys.modules:  # which takes long to import, and nothing is compiled
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def untraced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function, a hook for example, that compiled networks call as it is."""
    return torch.compiler.disable(function) if "torch._dynamo" in sys.modules else function


class _OrAsWritten:
    """A backend that gives the graph itself where the program cannot be made, and does not try again."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.failed = False

    def __call__(self, graph: Any, inputs: Any, **settings: Any) -> Callable[..., Any]:
        """Compile a graph."""
        if self.failed:
            return graph.forward
        try:
            return self.backend(graph, inputs, **settings)
        except Exception as error:  # no compiler, no Triton, an operation that it lacks: the run is worth more
            self.failed = True
            _tell(error)
            return graph.forward


def _tell(error: Exception) -> None:
    reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
    log.warning("compile: %s: %s; runs uncompiled", type(error).__name__, reason.strip())
