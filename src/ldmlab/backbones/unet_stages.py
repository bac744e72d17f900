"""What a UNet is made of: stages, the settings that its layers share, and the two sides of the pyramid.

Shapes: B batch, C channels, H x W grid, E width of the time embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.backbones.block_inputs import BlockInputs
from ldmlab.backbones.residual import Downsample, Resample, ResidualBlock, Upsample
from ldmlab.backbones.spatial_self_attention import SpatialSelfAttention
from ldmlab.backbones.spatial_transformer import SpatialTransformer


class UNetStage(nn.Module):
    """One skip connection's worth of layers: a residual block, attention, a change of resolution; each optional."""

    def __init__(
        self, residual: nn.Module | None, attention: nn.Module | None = None, resample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.residual = residual
        self.attention = attention
        self.resample = resample

    def forward(self, x: Float[Tensor, "B C H W"], inputs: BlockInputs) -> Float[Tensor, "B Cout Hout Wout"]:
        """Run the layers that the stage has, one after the other."""
        if self.residual is not None:
            x = self.residual(x, inputs.embedding)
        if self.attention is not None:
            x = self.attention(x, inputs)
        return x if self.resample is None else self.resample(x, inputs.embedding)


@dataclass(frozen=True)
class UNetLayers:
    """Makes the layers of a UNet from the settings that all of them share.

    Attributes:
        embedding_width: E, of the time embedding.
        grid: side of the square latent grid at full resolution.
        heads: heads of every attention; None where `head_width` is given.
        head_width: width of a head; None where `heads` is given.
        transformer_depth: Transformer blocks in a spatial Transformer.
        context_width: width of the text tokens; None for no text.
        dropout: in the residual blocks.
        attention: name of the attention backend.
        adaptive_norm: whether the embedding scales and shifts a residual block's features, rather than only adding.
        attention_block: "transformer", or "plain" for self-attention alone.
        residual_resampling: whether residual blocks change the grid, rather than single convolutions.
    """

    grid: int
    embedding_width: int
    dropout: float
    heads: int | None
    head_width: int | None
    transformer_depth: int
    context_width: int | None
    attention: str
    adaptive_norm: bool
    attention_block: str
    residual_resampling: bool

    def __post_init__(self) -> None:
        if (self.heads is None) == (self.head_width is None):
            raise ValueError(
                f"backbone.heads={self.heads}, head_width={self.head_width}: give one and set the other to null"
            )
        if self.attention_block not in ("transformer", "plain"):
            raise ValueError(f"backbone.attention_block={self.attention_block}: choose transformer or plain")

    def residual(self, channels: int, out_channels: int, resample: Resample | None = None) -> ResidualBlock:
        """A residual block from `channels` to `out_channels`, which changes the grid too if `resample` says how."""
        return ResidualBlock(channels, self.embedding_width, out_channels, self.dropout, self.adaptive_norm, resample)

    def resample(self, channels: int, direction: Resample) -> nn.Module:
        """What halves ("down") or doubles ("up") the grid: a residual block, or a single convolution."""
        if self.residual_resampling:
            return self.residual(channels, channels, direction)
        return Downsample(channels) if direction == "down" else Upsample(channels)

    def attend(self, channels: int, name: str, level: int) -> nn.Module:
        """A spatial Transformer or self-attention alone; its attention sites have names that start with `name`."""
        heads, head_width = self._split(channels)
        grid = (self.grid >> level, self.grid >> level)
        if self.attention_block == "plain":
            return SpatialSelfAttention(channels, heads, head_width, self.attention, name, grid)
        depth, context_width = self.transformer_depth, self.context_width
        return SpatialTransformer(channels, heads, head_width, depth, context_width, self.attention, name, grid)

    def _split(self, channels: int) -> tuple[int, int]:
        key, divisor = ("heads", self.heads) if self.heads is not None else ("head_width", self.head_width)
        if not divisor or channels % divisor:
            raise ValueError(f"backbone.{key}={divisor} does not divide {channels} features; choose a divisor")
        rest = channels // divisor
        return (divisor, rest) if key == "heads" else (rest, divisor)


def encoder_stages(
    layers: UNetLayers, channels: int, widths: Sequence[int], attends: Sequence[bool], residual_blocks: int
) -> tuple[nn.ModuleList, list[int]]:
    """The stages from `channels` features at full resolution down, and the features of every skip connection."""
    stages = nn.ModuleList()
    skips = [channels]
    for level, width in enumerate(widths):
        for _ in range(residual_blocks):
            name = f"down.{len(stages)}"
            residual = layers.residual(skips[-1], width)
            stages.append(UNetStage(residual, layers.attend(width, name, level) if attends[level] else None))
            skips.append(width)
        if level < len(widths) - 1:
            stages.append(UNetStage(None, resample=layers.resample(width, "down")))
            skips.append(width)
    return stages, skips


def middle_stages(layers: UNetLayers, width: int, level: int) -> nn.ModuleList:
    """The stages at the lowest resolution: residual block with attention, and residual block."""
    first = UNetStage(layers.residual(width, width), layers.attend(width, "middle", level))
    return nn.ModuleList([first, UNetStage(layers.residual(width, width))])


def decoder_stages(
    layers: UNetLayers, skips: Sequence[int], widths: Sequence[int], attends: Sequence[bool], residual_blocks: int
) -> nn.ModuleList:
    """The stages back up to full resolution, each of which reads the last unread skip connection.

    There is one more residual block a resolution than in the encoder.
    """
    stages = nn.ModuleList()
    unread = list(skips)
    features = widths[-1]
    for level, width in reversed(list(enumerate(widths))):
        for block in range(residual_blocks + 1):
            name = f"up.{len(stages)}"
            residual = layers.residual(features + unread.pop(), width)
            attention = layers.attend(width, name, level) if attends[level] else None
            resample = layers.resample(width, "up") if level > 0 and block == residual_blocks else None
            stages.append(UNetStage(residual, attention, resample))
            features = width
    return stages
