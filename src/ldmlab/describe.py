"""What a network consists of and what a pass through it costs, counted without running it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode

from ldmlab.attention.backends import explicit
from ldmlab.attention.module import Attention
from ldmlab.types import Conditioning


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
        children: the parts inside.
        count: how many alike parts this one stands for; the figures are their sums.
    """

    name: str = field(compare=False)
    kind: str
    trainable: int
    frozen: int
    buffers: int
    macs: int
    children: tuple[Part, ...] = ()
    count: int = 1

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


def describe(module: nn.Module, *inputs: Any, method: str = "forward") -> Description:
    """Count the parts of a module, and a pass of example inputs through it.

    Nothing is computed: parameters and inputs are replaced by tensors without data, so that any size takes no memory
    and about a second. The module may lie on any device, the meta device too, and is left as it was.

    Args:
        module: what is described.
        inputs: arguments of the pass; tensors and `Conditioning` on any device.
        method: what is called. Other than "forward", only modules that it runs are described.
    """
    call = _Call(module, method)
    watch = _Watch(module)
    state = {name: t.detach().to("meta") for name, t in [*call.named_parameters(), *call.named_buffers()]}
    counter = FlopCounterMode(display=False)
    with register_module_forward_pre_hook(watch), _explicit_attention(module), counter, torch.no_grad():
        functional_call(call, state, tuple(_on_meta(value) for value in inputs))
    flops = {name: sum(by_operator.values()) for name, by_operator in counter.get_flop_counts().items()}
    flops[_Call.PREFIX] = flops.get(_Call.__name__, 0)
    parts = _Parts(watch.ran if method != "forward" else {module}, flops)
    return Description(
        parts.part(module, "", _Call.PREFIX),
        tuple(sorted(watch.tokens["self"], reverse=True)),
        tuple(sorted(watch.tokens["cross"], reverse=True)),
    )


def count_values(module: nn.Module) -> tuple[int, int, int]:
    """Trainable parameters, frozen parameters and values in buffers, each tensor once."""
    parameters = list(module.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return trainable, sum(p.numel() for p in parameters) - trainable, sum(b.numel() for b in module.buffers())


class _Call(nn.Module):
    """Makes a method of a module the forward of one."""

    PREFIX = "_Call.module"

    def __init__(self, module: nn.Module, method: str) -> None:
        super().__init__()
        self.module = module
        self.method = method

    def forward(self, *inputs: Any) -> Any:
        return getattr(self.module, self.method)(*inputs) if self.method != "forward" else self.module(*inputs)


class _Watch:
    """Before each module runs: notes that it does, and how many tokens an attention reads."""

    def __init__(self, module: nn.Module) -> None:
        self.ran: set[nn.Module] = set()
        self.tokens: dict[str, set[int]] = {"self": set(), "cross": set()}
        attentions = [m for m in module.modules() if isinstance(m, Attention)]
        self._keys = {a.to_k: "cross" if a.is_cross else "self" for a in attentions}

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.ran.add(module)
        if module in self._keys:
            self.tokens[self._keys[module]].add(inputs[0].shape[1])


class _Parts:
    """Builds the tree of those modules that ran, that are inside one, or that hold one."""

    def __init__(self, ran: set[nn.Module], flops: dict[str, int]) -> None:
        self.ran = ran
        self.flops = flops

    def part(self, module: nn.Module, name: str, path: str, inside: bool = False) -> Part:
        inside = inside or module in self.ran
        children = tuple(
            self.part(child, child_name, f"{path}.{child_name}", inside)
            for child_name, child in module.named_children()
            if inside or not self.ran.isdisjoint(child.modules())
        )
        own = count_values(module) if inside else self._of_parts(module, children)
        flops = self.flops.get(path, 2 * sum(child.macs for child in children))
        return Part(name, type(module).__name__, *own, flops // 2, children)

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


@contextmanager
def _explicit_attention(module: nn.Module) -> Iterator[None]:
    """Let every attention write out its two matrix products: fused kernels hide them, some have none for meta."""
    attentions = [m for m in module.modules() if isinstance(m, Attention)]
    backends = [attention.attend for attention in attentions]
    for attention in attentions:
        attention.attend = explicit
    try:
        yield
    finally:
        for attention, backend in zip(attentions, backends, strict=True):
            attention.attend = backend


def _on_meta(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to("meta")
    return value.map(_on_meta) if isinstance(value, Conditioning) else value


def _merge(alike: list[Part]) -> Part:
    return replace(_times(alike[0], len(alike)), name=f"{alike[0].name}-{alike[-1].name}", count=len(alike))


def _times(part: Part, n: int) -> Part:
    figures = {name: n * getattr(part, name) for name in ("trainable", "frozen", "buffers", "macs")}
    return replace(part, **figures, children=tuple(_times(child, n) for child in part.children))
