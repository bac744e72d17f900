"""Dropout whose masks follow from a key for each sample, and not from the process that has it.

Shapes: B batch, N values of a sample.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ldmlab.draws import Draws

BITS = 31
"""Of keys and hashes: products of two fit into 64 bits."""
LOW = 2**BITS - 1


class Dropout(nn.Dropout):
    """`nn.Dropout`, which draws from keys of the samples in place of PyTorch's generator where it has been given some.

    The mask of a sample is then the same on any device, in whatever batch, and when a pass is made again for its
    gradient.

    Attributes:
        keys: (B, 2), random integers below 2^31; None to draw as `nn.Dropout` does.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)
        self.keys: Int[Tensor, "B 2"] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Zero each value of `x` (B, ...) with probability p in training mode, and scale the others by 1 / (1 - p)."""
        if self.keys is None or not self.training or self.p == 0:
            return super().forward(x)
        kept = keyed_uniform(self.keys, x[0].numel()) >= round(self.p * 2**BITS)
        return x * kept.view_as(x) / (1 - self.p)


def keyed_uniform(keys: Int[Tensor, "B 2"], count: int) -> Int[Tensor, "B N"]:
    """Integers that are spread over 0 ... 2^31 - 1, for `count` places of samples that have keys.

    A place's hash x becomes a x + c modulo 2^31 with a sample's own odd a, and c (Dietzfelbinger 1996, "Universal
    hashing and k-wise independent random variables via integer arithmetic without primes").
    """
    factors, shifts = keys[:, :1] | 1, keys[:, 1:]
    return torch.addcmul(shifts, factors, place_hashes(count, keys.device)) & LOW


def place_hashes(count: int, device: torch.device) -> Int[Tensor, "1 N"]:
    """A fixed number below 2^31 for each place that looks random, by the steps of MurmurHash3's finalizer."""
    x = torch.arange(1, count + 1, device=device)[None] * 0x1E3779B9 & LOW
    for shift, factor in ((16, 0x45EBCA6B), (13, 0x42B2AE35)):
        x = (x ^ (x >> shift)) * factor & LOW
    return x ^ (x >> 16)


def droppers(network: nn.Module) -> list[Dropout]:
    """The `Dropout` modules of a network that drop anything."""
    return [module for module in network.modules() if isinstance(module, Dropout) and module.p > 0]


def give_keys(droppers: list[Dropout], draws: Draws, device: torch.device) -> None:
    """Give keys to each, for the samples of the next pass."""
    for each in droppers:
        each.keys = draws.randint(2**BITS, 2, device=device)


def take_keys(droppers: list[Dropout]) -> None:
    """Take the keys away."""
    for each in droppers:
        each.keys = None
