"""The UNet's Transformer over grid positions: self-attention, cross-attention, GEGLU (Rombach et al. 2022)."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.backbones.attention_layers import Attention
from ldmlab.backbones.block_inputs import BlockInputs
from ldmlab.backbones.residual import group_norm, zeroed
from ldmlab.types import AttentionSite


class GEGLU(nn.Module):
    """Feed-forward layer gated by GELU (Shazeer 2020), with a hidden width of 4 D."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into = nn.Linear(width, 8 * width)
        self.out = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """W_out (a GELU(g)), where W_in x holds a and g."""
        value, gate = self.into(x).chunk(2, dim=-1)
        return self.out(value * F.gelu(gate))


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention, GEGLU; each behind a layer norm and around a residual.

    Without a context the second attention attends to the picture as well, as in the original.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        context_width: int | None,
        backend: str,
        name: str,
        grid: tuple[int, int],
    ) -> None:
        super().__init__()
        first = AttentionSite(f"{name}.self", "self", grid)
        second = AttentionSite(f"{name}.cross", "cross", grid)
        if context_width is None:
            second = AttentionSite(f"{name}.self2", "self", grid)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.self_attention = Attention(width, heads, head_width, backend=backend, site=first)
        self.cross_attention = Attention(width, heads, head_width, context_width, backend=backend, site=second)
        self.feed_forward = GEGLU(width)

    def forward(self, x: Float[Tensor, "B N D"], inputs: BlockInputs) -> Float[Tensor, "B N D"]:
        """The tokens after both attentions and the feed-forward layer."""
        x = x + self.self_attention(self.norms[0](x), inputs.grid, control=inputs.control)
        x = x + self.cross_attention(self.norms[1](x), inputs.grid, inputs.context, inputs.mask, inputs.control)
        return x + self.feed_forward(self.norms[2](x))


class SpatialTransformer(nn.Module):
    """GroupNorm, a 1x1 projection, `depth` Transformer blocks over the positions, a zeroed 1x1 projection, residual."""

    def __init__(
        self,
        channels: int,
        heads: int,
        head_width: int,
        depth: int,
        context_width: int | None,
        backend: str,
        name: str,
        grid: tuple[int, int],
    ) -> None:
        super().__init__()
        inner = heads * head_width
        self.norm = group_norm(channels, eps=1e-6)
        self.project_in = nn.Conv2d(channels, inner, 1)
        self.blocks = nn.ModuleList(
            TransformerBlock(inner, heads, head_width, context_width, backend, f"{name}.{i}", grid)
            for i in range(depth)
        )
        self.project_out = zeroed(nn.Conv2d(inner, channels, 1))

    def forward(self, x: Float[Tensor, "B C H W"], inputs: BlockInputs) -> Float[Tensor, "B C H W"]:
        """The features, with what the Transformer made of the grid's positions added."""
        rows, columns = x.shape[-2:]
        # Sums keep the layout of what they add to: that of an image would be copied by every norm on the way.
        tokens = self.project_in(self.norm(x)).flatten(2).transpose(1, 2).contiguous()
        here = replace(inputs, grid=(rows, columns))
        for block in self.blocks:
            tokens = block(tokens, here)
        layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
        features = tokens.transpose(1, 2).unflatten(-1, (rows, columns)).contiguous(memory_format=layout)
        return x + self.project_out(features)
