"""Low-rank adaptation of the attention projections (Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language
Models"): W x becomes W x + alpha / r B A x, with W as it was trained, A of r x in and B of out x r.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Size, Tensor, nn

from ldmlab.adapters.base import AdaptedLayer, Adapter, replace_layer
from ldmlab.backbones.attention_layers import Projections
from ldmlab.types import AttentionSite

KINDS = ("self", "cross", "joint")
PROJECTIONS = ("q", "k", "v", "out")


class LowRankLinear(AdaptedLayer):
    """A linear layer beside a product of two thin matrices; its state has `weight` and `bias` as the layer's has.

    Args:
        layer: whose parameters it takes over, the same tensors.
        rank: r.
        alpha: the product is multiplied by alpha / r.

    Attributes:
        lora_down: A, r x in, drawn as a linear layer's weights are.
        lora_up: B, out x r, zero at first.
    """

    own = ("lora_down", "lora_up")

    def __init__(self, layer: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.lora_down = nn.Parameter(layer.weight.new_empty(rank, layer.in_features))
        self.lora_up = nn.Parameter(layer.weight.new_zeros(layer.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))
        self.factor = alpha / rank

    def forward(self, x: Float[Tensor, "*B in"]) -> Float[Tensor, "*B out"]:
        """W x + scale alpha / r B A x plus the bias, with the layer's `scale` (Hu et al. 2022, eq. 3)."""
        change = F.linear(F.linear(x, self.lora_down), self.lora_up)
        return F.linear(x, self.weight, self.bias) + self.scale * self.factor * change

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A linear layer of weight W + alpha / r B A."""
        change = self.scale * self.factor * (self.lora_up.double() @ self.lora_down.double())
        outputs, inputs = self.weight.shape
        layer = nn.Linear(inputs, outputs, self.bias is not None, device="meta")
        layer.weight = nn.Parameter((self.weight.double() + change).to(self.weight.dtype))
        layer.bias = self.bias
        return layer


class LoRA(Adapter):
    """Adapts projections of the attention in a backbone, whichever it is: they are found by their attention sites.

    Args:
        rank: r.
        alpha: the product of the two matrices is multiplied by alpha / rank; `rank` if not given.
        attention: of which attention: "self", "cross" (picture to words), "joint" (both in one).
        projections: which of its matrices: "q", "k", "v", "out".
    """

    def __init__(
        self,
        rank: int = 8,
        alpha: float | None = None,
        attention: Sequence[str] = KINDS,
        projections: Sequence[str] = PROJECTIONS,
    ) -> None:
        if rank < 1:
            raise ValueError(f"adapter.rank={rank} is too small; give 1 or more")
        for key, given, known in (("attention", attention, KINDS), ("projections", projections, PROJECTIONS)):
            if not given or not {*given} <= {*known}:
                raise ValueError(f"adapter.{key}=[{','.join(given)}]: give some of {', '.join(known)}")
        self.rank = rank
        self.alpha = float(rank if alpha is None else alpha)
        self.attention = tuple(attention)
        self.projections = tuple(projections)

    def attach(self, backbone: nn.Module) -> None:
        """Put low-rank layers in the places of the projections; the backbone computes what it did until they learn.

        Raises:
            ValueError: the backbone has no such attention, or no such projection.
        """
        for name, layer in self._layers(backbone):
            replace_layer(backbone, name, LowRankLinear(layer, self.rank, self.alpha))

    def shapes(self, backbone: nn.Module) -> dict[str, Size]:
        """The shapes of the matrices that `attach` would add, by name in the backbone; takes no memory.

        Raises:
            ValueError: the backbone has no such attention, or no such projection.
        """
        found = {}
        for name, layer in self._layers(backbone):
            found[f"{name}.lora_down"] = Size((self.rank, layer.in_features))
            found[f"{name}.lora_up"] = Size((layer.out_features, self.rank))
        return found

    def _layers(self, backbone: nn.Module) -> list[tuple[str, nn.Linear]]:
        """The projections that are to be adapted, by name."""
        found = [
            (f"{path}.to_{name}", part.get_submodule(f"to_{name}"))
            for path, part in _projections(backbone, self.attention)
            for name in self.projections
        ]
        layers = [(name, layer) for name, layer in found if isinstance(layer, nn.Linear)]
        if not layers:
            kinds = ", ".join(sorted({site.kind for _, _, site in _sites(backbone)})) or "none"
            raise ValueError(
                f"adapter.attention=[{','.join(self.attention)}]: the backbone has no such attention; it has {kinds}"
            )
        return layers


def _projections(backbone: nn.Module, kinds: Sequence[str]) -> Iterator[tuple[str, Projections]]:
    for path, module, site in _sites(backbone):
        if site.kind in kinds:
            for name, part in module.named_modules(prefix=path):
                if isinstance(part, Projections):
                    yield name, part


def _sites(backbone: nn.Module) -> Iterator[tuple[str, nn.Module, AttentionSite]]:
    for path, module in backbone.named_modules():
        site = getattr(module, "site", None)
        if isinstance(site, AttentionSite):
            yield path, module, site
