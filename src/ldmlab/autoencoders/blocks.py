"""Convolutional encoder and decoder of latent diffusion's autoencoders (Esser et al. 2021, Rombach et al. 2022).

Shapes: B batch, F features, H x W the current grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.attention.attend import attend
from ldmlab.attention.backends import Backend, sdpa


def group_norm(features: int, groups: int) -> nn.GroupNorm:
    """Group norm with the autoencoder's epsilon.

    Raises:
        ValueError: the groups do not divide the features.
    """
    if features % groups:
        raise ValueError(
            f"autoencoder.norm_groups={groups} does not divide {features} features; "
            "choose autoencoder.channels as a multiple of it"
        )
    return nn.GroupNorm(groups, features, eps=1e-6)


class ResidualBlock(nn.Module):
    """Norm, SiLU and 3x3 convolution, twice, plus the input (through a 1x1 convolution where the features differ)."""

    def __init__(self, features: int, out_features: int, groups: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            group_norm(features, groups),
            nn.SiLU(),
            nn.Conv2d(features, out_features, 3, padding=1),
            group_norm(out_features, groups),
            nn.SiLU(),
            nn.Conv2d(out_features, out_features, 3, padding=1),
        )
        self.skip = nn.Identity() if features == out_features else nn.Conv2d(features, out_features, 1)

    def forward(self, x: Float[Tensor, "B F H W"]) -> Float[Tensor, "B Fout H W"]:
        """The block's features, on the same grid."""
        return self.skip(x) + self.branch(x)


class PositionAttention(nn.Module):
    """Single-head self-attention over all positions, with 1x1 convolutions as projections."""

    def __init__(self, features: int, groups: int) -> None:
        super().__init__()
        self.norm = group_norm(features, groups)
        self.backend: Backend = sdpa
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Conv2d(features, features, 1) for _ in range(4))

    def forward(self, x: Float[Tensor, "B F H W"]) -> Float[Tensor, "B F H W"]:
        """The features, each position with what it attended to added."""
        hidden = self.norm(x)
        q, k, v = (t(hidden).flatten(2).transpose(1, 2)[:, None] for t in (self.to_q, self.to_k, self.to_v))
        out = attend(q, k, v, backend=self.backend)[:, 0].transpose(1, 2)
        return x + self.to_out(out.unflatten(-1, x.shape[-2:]))


class Downsample(nn.Module):
    """Halve the grid by a strided convolution, padded right and below only."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features, features, 3, stride=2)

    def forward(self, x: Float[Tensor, "B F H W"]) -> Float[Tensor, "B F H2 W2"]:
        """Features on a grid of half the side, H2 = H / 2."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double the grid by nearest neighbours and a convolution."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Float[Tensor, "B F H W"]) -> Float[Tensor, "B F H2 W2"]:
        """Features on a grid of twice the side, H2 = 2 H."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


def _residual_stack(features: int, out_features: int, count: int, groups: int, attends: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index in range(count):
        layers.append(ResidualBlock(features if index == 0 else out_features, out_features, groups))
        if attends:
            layers.append(PositionAttention(out_features, groups))
    return layers


def _middle(features: int, groups: int) -> list[nn.Module]:
    return [
        ResidualBlock(features, features, groups),
        PositionAttention(features, groups),
        ResidualBlock(features, features, groups),
    ]


class Encoder(nn.Module):
    """Images to features at a factor f = patch * 2^(len(multipliers) - 1).

    Args:
        channels: features at the highest resolution.
        multipliers: features at each resolution as multiples of `channels`.
        residual_blocks: residual blocks a resolution.
        out_channels: features returned.
        attention_factors: downsampling factors at which positions attend to each other (besides the middle).
        groups: of every group norm.
        patch: side of the pixel patches that become one position at the start; 1 in the papers, more is cheaper.
    """

    def __init__(
        self,
        channels: int,
        multipliers: Sequence[int],
        residual_blocks: int,
        out_channels: int,
        attention_factors: Sequence[int],
        groups: int,
        patch: int,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(patch)] if patch > 1 else []
        layers.append(nn.Conv2d(3 * patch**2, channels, 3, padding=1))
        features = channels
        for level, multiplier in enumerate(multipliers):
            out = channels * multiplier
            layers += _residual_stack(features, out, residual_blocks, groups, patch * 2**level in attention_factors)
            features = out
            if level < len(multipliers) - 1:
                layers.append(Downsample(features))
        layers += _middle(features, groups)
        layers += [group_norm(features, groups), nn.SiLU(), nn.Conv2d(features, out_channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Float[Tensor, "B 3 fH fW"]) -> Float[Tensor, "B C H W"]:
        """The encoder's output for images in [-1, 1]: `out_channels` features on the latent grid."""
        return self.layers(images)


class Decoder(nn.Module):
    """Features to images: the encoder in reverse, with one more residual block a resolution.

    Args:
        channels: features at the highest resolution.
        multipliers: features at each resolution as multiples of `channels`, from the highest resolution on.
        residual_blocks: residual blocks a resolution in the encoder; here there is one more.
        in_channels: features that come in.
        attention_factors: downsampling factors at which positions attend to each other (besides the middle).
        groups: of every group norm.
        patch: side of the pixel patches that become one position at the end; 1 in the papers, more is cheaper.
    """

    def __init__(
        self,
        channels: int,
        multipliers: Sequence[int],
        residual_blocks: int,
        in_channels: int,
        attention_factors: Sequence[int],
        groups: int,
        patch: int,
    ) -> None:
        super().__init__()
        features = channels * multipliers[-1]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, features, 3, padding=1), *_middle(features, groups)]
        for level, multiplier in reversed(list(enumerate(multipliers))):
            out = channels * multiplier
            layers += _residual_stack(features, out, residual_blocks + 1, groups, patch * 2**level in attention_factors)
            features = out
            if level > 0:
                layers.append(Upsample(features))
        layers += [group_norm(features, groups), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.to_images = nn.Conv2d(features, 3 * patch**2, 3, padding=1)
        self.unpatch = nn.PixelShuffle(patch) if patch > 1 else nn.Identity()

    def forward(self, hidden: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 fH fW"]:
        """Images, about in [-1, 1], from features on the latent grid."""
        return self.unpatch(self.to_images(self.layers(hidden)))

    @property
    def last_layer(self) -> Tensor:
        """The weight at which the adversarial loss is balanced against reconstruction."""
        return self.to_images.weight
