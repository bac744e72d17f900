"""Convolutional blocks of the UNet: residual block with time embedding, down- and upsampling."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.backbones.dropout import Dropout

Resample = Literal["down", "up"]


def group_norm(channels: int, eps: float = 1e-5) -> nn.GroupNorm:
    """Group norm over 32 groups.

    Raises:
        ValueError: 32 does not divide the channels.
    """
    if channels % 32:
        raise ValueError(
            f"{channels} features cannot be split into 32 groups; set backbone.model_channels to a multiple"
        )
    return nn.GroupNorm(32, channels, eps=eps)


def zeroed(module: nn.Conv2d | nn.Linear) -> nn.Module:
    """Set a layer's parameters to zero, so that its branch starts as nothing."""
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution; add the time embedding; norm, SiLU, convolution; plus the input.

    With `adaptive_norm` the embedding scales and shifts the second norm's output instead of being added before it
    (AdaGN, Dhariwal & Nichol 2021). With `resample` both branches change the grid, before the first convolution, by
    the mean of 2x2 positions or by nearest neighbours (BigGAN's resampling, Brock et al. 2019).
    """

    def __init__(
        self,
        channels: int,
        embedding_width: int,
        out_channels: int,
        dropout: float = 0.0,
        adaptive_norm: bool = False,
        resample: Resample | None = None,
    ) -> None:
        super().__init__()
        self.adaptive_norm = adaptive_norm
        self.resample = _resampling(resample)
        self.into = nn.Sequential(group_norm(channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1))
        self.embedding = nn.Sequential(nn.SiLU(), nn.Linear(embedding_width, (1 + adaptive_norm) * out_channels))
        self.out = nn.Sequential(
            group_norm(out_channels),
            nn.SiLU(),
            Dropout(dropout),
            zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip = nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Float[Tensor, "B C H W"], embedding: Float[Tensor, "B E"]) -> Float[Tensor, "B Cout H2 W2"]:
        """The block's features; the grid is the same unless `resample` was given."""
        norm, activation, convolution = self.into
        hidden = convolution(self.resample(activation(norm(x))))
        embedded = self.embedding(embedding)[:, :, None, None]
        return self.skip(self.resample(x)) + self._modulated(hidden, embedded)

    def _modulated(self, hidden: Tensor, embedded: Tensor) -> Tensor:
        if not self.adaptive_norm:
            return self.out(hidden + embedded)
        norm, *rest = self.out
        scale, shift = embedded.chunk(2, dim=1)
        hidden = norm(hidden) * (1 + scale) + shift
        for layer in rest:
            hidden = layer(hidden)
        return hidden


def _resampling(direction: Resample | None) -> nn.Module:
    if direction is None:
        return nn.Identity()
    return nn.AvgPool2d(2) if direction == "down" else nn.Upsample(scale_factor=2.0, mode="nearest")


class Downsample(nn.Module):
    """Halve the grid by a strided convolution, padded alike on all sides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "B C H W"], embedding: Tensor | None = None) -> Float[Tensor, "B C H2 W2"]:
        """Features on a grid of half the side, H2 = H / 2; the embedding is not read."""
        return self.conv(x)


class Upsample(nn.Module):
    """Double the grid by nearest neighbours and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C H W"], embedding: Tensor | None = None) -> Float[Tensor, "B C H2 W2"]:
        """Features on a grid of twice the side, H2 = 2 H; the embedding is not read."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
