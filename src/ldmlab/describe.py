"""What a network consists of and what a pass through it costs, counted without running it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import torch
from torch import nn

from ldmlab.counting.passes import Pass


@dataclass(frozen=True)
class Part:
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
    children: tuple[Part, ...] = ()
    count: int = 1

    @property
    def parameters(self) -> int:
        """All values that it holds; papers count fixed tables among the parameters."""
        return self.trainable + self.frozen + self.buffers

    @property
    def flops(self) -> int:
        """Floating-point operations: a multiply-add is two."""
        return 2 * self.macs

    def folded(self) -> Part:
        """Numbered neighbours that are alike, such as a stack of blocks, as one part."""
        children: list[Part] = []
        for _, group in groupby((child.folded() for child in self.children), key=lambda c: (c.name.isdigit(), c)):
            alike = list(group)
            numbered = alike[0].name.isdigit() and len(alike) > 1
            children += [_merge(alike)] if numbered else alike
        return replace(self, children=tuple(children))

    def walk(self, depth: int, path: str = "") -> Iterator[tuple[str, Part]]:
        """This part and those inside it, to `depth` levels below, each with its dotted path from here."""
        yield path, self
        for child in self.children if depth > 0 else ():
            yield from child.walk(depth - 1, f"{path}.{child.name}".lstrip("."))


@dataclass(frozen=True)
class Description:
    """A network and one pass through it.

    Attributes:
        root: the whole.
        tokens: N at each self-attention, distinct, the finest grid first; for a backbone these are image tokens.
        context_tokens: L at each cross-attention, distinct; for a backbone these are text tokens.
    """

    root: Part
    tokens: tuple[int, ...]
    context_tokens: tuple[int, ...]


def describe(
    module: nn.Module, *inputs: Any, method: str = "forward", dtype: torch.dtype = torch.float32
) -> Description:
    """Count the parts of a module, and a pass of example inputs through it.

    Nothing is computed: parameters and inputs are replaced by tensors without data, so that any size takes no memory
    and about a second. The module may lie on any device, the meta device too, and is left as it was.

    Args:
        module: what is described.
        inputs: arguments of the pass; tensors and `Conditioning` on any device.
        method: what is called. Other than "forward", only modules that it runs are described.
        dtype: of weights and activations, for `activation_bytes`. Attention keeps what its backend keeps: "explicit"
            the probabilities, fused kernels none.
    """
    example = Pass(module, inputs, method)
    flops = example.flops()
    ran = example.ran if method != "forward" else {module}
    return Description(
        _Parts(ran, flops, example.activations(dtype)).part(module, "", Pass.ROOT),
        tuple(sorted(example.tokens["self"], reverse=True)),
        tuple(sorted(example.tokens["cross"], reverse=True)),
    )


def count_values(module: nn.Module) -> tuple[int, int, int]:
    """Trainable parameters, frozen parameters and values in buffers, each tensor once."""
    parameters = list(module.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return trainable, sum(p.numel() for p in parameters) - trainable, sum(b.numel() for b in module.buffers())


class _Parts:
    """Builds the tree of those modules that ran, that are inside one, or that hold one."""

    def __init__(self, ran: set[nn.Module], flops: Mapping[str, int], activations: Mapping[nn.Module, int]) -> None:
        self.ran = ran
        self.flops = flops
        self.activations = activations

    def part(self, module: nn.Module, name: str, path: str, inside: bool = False) -> Part:
        inside = inside or module in self.ran
        children = tuple(
            self.part(child, child_name, f"{path}.{child_name}", inside)
            for child_name, child in module.named_children()
            if inside or not self.ran.isdisjoint(child.modules())
        )
        own = count_values(module) if inside else self._of_parts(module, children)
        flops = self.flops.get(path, 2 * sum(child.macs for child in children))
        kept = self.activations.get(module, 0) + sum(child.activation_bytes for child in children)
        return Part(name, type(module).__name__, *own, flops // 2, kept, children)

    @staticmethod
    def _of_parts(module: nn.Module, children: tuple[Part, ...]) -> tuple[int, int, int]:
        """As `count_values`, without the children that are left out."""
        own = list(module.parameters(recurse=False))
        trainable = sum(p.numel() for p in own if p.requires_grad)
        buffers = sum(b.numel() for b in module.buffers(recurse=False))
        return (
            trainable + sum(c.trainable for c in children),
            sum(p.numel() for p in own) - trainable + sum(c.frozen for c in children),
            buffers + sum(c.buffers for c in children),
        )


def _merge(alike: list[Part]) -> Part:
    return replace(_sum(alike), name=f"{alike[0].name}-{alike[-1].name}", count=len(alike))


def _sum(alike: Sequence[Part]) -> Part:
    names = ("trainable", "frozen", "buffers", "macs", "activation_bytes")
    figures = {name: sum(getattr(part, name) for part in alike) for name in names}
    children = tuple(_sum(parts) for parts in zip(*(part.children for part in alike), strict=True))
    return replace(alike[0], **figures, children=children)
