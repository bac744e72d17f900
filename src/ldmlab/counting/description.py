"""What a network consists of and what a pass through it costs, counted without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ldmlab.counting.module_cost import ModuleCost, count_values
from ldmlab.counting.passes import Pass


@dataclass(frozen=True)
class Description:
    """A network and one pass through it.

    Attributes:
        root: the whole.
        tokens: N at each self-attention, distinct, the finest grid first; for a backbone these are image tokens.
        context_tokens: L at each cross-attention, distinct; for a backbone these are text tokens.
    """

    root: ModuleCost
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


class _Parts:
    """Builds the tree of those modules that ran, that are inside one, or that hold one."""

    def __init__(self, ran: set[nn.Module], flops: Mapping[str, int], activations: Mapping[nn.Module, int]) -> None:
        self.ran = ran
        self.flops = flops
        self.activations = activations

    def part(self, module: nn.Module, name: str, path: str, inside: bool = False) -> ModuleCost:
        inside = inside or module in self.ran
        children = tuple(
            self.part(child, child_name, f"{path}.{child_name}", inside)
            for child_name, child in module.named_children()
            if inside or not self.ran.isdisjoint(child.modules())
        )
        own = count_values(module) if inside else self._of_parts(module, children)
        flops = self.flops.get(path, 2 * sum(child.macs for child in children))
        kept = self.activations.get(module, 0) + sum(child.activation_bytes for child in children)
        return ModuleCost(name, type(module).__name__, *own, flops // 2, kept, children)

    @staticmethod
    def _of_parts(module: nn.Module, children: tuple[ModuleCost, ...]) -> tuple[int, int, int]:
        """As `count_values`, without the children that are left out."""
        own = list(module.parameters(recurse=False))
        trainable = sum(p.numel() for p in own if p.requires_grad)
        buffers = sum(b.numel() for b in module.buffers(recurse=False))
        return (
            trainable + sum(c.trainable for c in children),
            sum(p.numel() for p in own) - trainable + sum(c.frozen for c in children),
            buffers + sum(c.buffers for c in children),
        )
