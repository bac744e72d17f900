"""What a module holds and what its share of a pass costs, module by module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from torch import nn


@dataclass(frozen=True)
class ModuleCost:
    """A module that takes part in a pass, with everything inside it.

    Attributes:
        name: its attribute in the module around it; two parts that differ in it alone are equal.
        kind: its class.
        trainable: parameters with a gradient.
        frozen: parameters without one.
        buffers: values that are no parameters: fixed position tables, statistics.
        macs: multiply-adds of its matrix products and convolutions; element-wise operations are not counted.
        activation_bytes: memory of the tensors that a training pass keeps for its backward pass.
        children: the parts inside.
        count: how many alike parts this one stands for; the figures are their sums.
    """

    name: str = field(compare=False)
    kind: str
    trainable: int
    frozen: int
    buffers: int
    macs: int
    activation_bytes: int = field(default=0, compare=False)
    children: tuple[ModuleCost, ...] = ()
    count: int = 1

    @property
    def parameters(self) -> int:
        """All values that it holds; papers count fixed tables among the parameters."""
        return self.trainable + self.frozen + self.buffers

    @property
    def flops(self) -> int:
        """Floating-point operations: a multiply-add is two."""
        return 2 * self.macs

    def folded(self) -> ModuleCost:
        """Numbered neighbours that are alike, such as a stack of blocks, as one part."""
        children: list[ModuleCost] = []
        for _, group in groupby((child.folded() for child in self.children), key=lambda c: (c.name.isdigit(), c)):
            alike = list(group)
            numbered = alike[0].name.isdigit() and len(alike) > 1
            children += [_merge(alike)] if numbered else alike
        return replace(self, children=tuple(children))

    def walk(self, depth: int, path: str = "") -> Iterator[tuple[str, ModuleCost]]:
        """This part and those inside it, to `depth` levels below, each with its dotted path from here."""
        yield path, self
        for child in self.children if depth > 0 else ():
            yield from child.walk(depth - 1, f"{path}.{child.name}".lstrip("."))


def count_values(module: nn.Module) -> tuple[int, int, int]:
    """Trainable parameters, frozen parameters and values in buffers, each tensor once."""
    parameters = list(module.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return trainable, sum(p.numel() for p in parameters) - trainable, sum(b.numel() for b in module.buffers())


def _merge(alike: list[ModuleCost]) -> ModuleCost:
    return replace(_sum(alike), name=f"{alike[0].name}-{alike[-1].name}", count=len(alike))


def _sum(alike: Sequence[ModuleCost]) -> ModuleCost:
    names = ("trainable", "frozen", "buffers", "macs", "activation_bytes")
    figures = {name: sum(getattr(part, name) for part in alike) for name in names}
    children = tuple(_sum(parts) for parts in zip(*(part.children for part in alike), strict=True))
    return replace(alike[0], **figures, children=children)
