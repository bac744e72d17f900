"""One side of a comparison: a network, what it is asked for, and the ways in which it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim import AdamW

from side_by_side.bench import Bench
from side_by_side.clock import Call


@dataclass
class Side:
    """A network in the precision that is measured.

    Attributes:
        network: the module.
        call: what is measured of it.
        compile: makes programs of the network, in place.
    """

    network: nn.Module
    call: Callable[[], Any]
    compile: Callable[[], object]

    def plain(self) -> Call:
        """Without gradients."""
        self.network.eval()
        return torch.no_grad()(self.call)

    def channels_last(self) -> Call:
        """From now on, with the features of a position beside each other in memory."""
        self.network.to(memory_format=torch.channels_last)
        return self.plain()

    def compiled(self) -> Call:
        """From now on, compiled."""
        self.compile()
        return self.plain()

    def step(self) -> Call:
        """With gradients, the backward pass, and the optimizer's step."""
        self.network.train()
        optimizer = AdamW(self.network.parameters(), 1e-6, fused=True)

        def step() -> None:
            loss = self.call().square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return step


Way = Callable[[Side], Call]
S = TypeVar("S")


def compare(
    bench: Bench,
    section: str,
    work: str,
    ways: Mapping[str, Callable[[S], Call]],
    ours: Callable[[], S],
    theirs: Callable[[], S],
    **settings: Any,
) -> None:
    """Every way in which a network runs, one after the other on the same two networks; `settings` as `Bench.compare`'s.

    Where the sizes ask for no compiler, only what is called "eager" runs.
    """
    sides = {"ldmlab": cache(ours), "diffusers": cache(theirs)}
    for how, way in ways.items():
        if bench.sizes.backend or how.startswith("eager"):
            calls = {who: partial(_run, build, way) for who, build in sides.items()}
            bench.compare(section, work, f"{bench.sizes.precision}, {how}", calls, **settings)
    bench.tidy()


def _run(build: Callable[[], S], way: Callable[[S], Call]) -> Call:
    return way(build())
