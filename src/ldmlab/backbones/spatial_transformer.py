"""The UNet's Transformer over grid positions: self-attention, cross-attention, GEGLU (Rombach et al. 2022)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ldmlab.attention.control import AttentionControl
from ldmlab.attention.module import Attention
from ldmlab.backbones.residual import group_norm, zeroed


class GEGLU(nn.Module):
    """Feed-forward layer gated by GELU (Shazeer 2020), with a hidden width of 4 D."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into = nn.Linear(width, 8 * width)
        self.out = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Apply the layer."""
        value, gate = self.into(x).chunk(2, dim=-1)
        return self.out(value * F.gelu(gate))


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention, GEGLU; each behind a layer norm and around a residual.

    Without a context the second attention attends to the picture as well, as in the original.
    """

    def __init__(
        self, width: int, heads: int, head_width: int, context_width: int | None, backend: str, name: str
    ) -> None:
        super().__init__()
        second = "self2" if context_width is None else "cross"
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.self_attention = Attention(width, heads, head_width, backend=backend, name=f"{name}.self")
        self.cross_attention = Attention(
            width, heads, head_width, context_width, backend=backend, name=f"{name}.{second}"
        )
        self.feed_forward = GEGLU(width)

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        grid: tuple[int, int],
        context: Float[Tensor, "B L Dc"] | None,
        mask: Bool[Tensor, "B L"] | None,
        control: AttentionControl | None,
    ) -> Float[Tensor, "B N D"]:
        """Update the tokens."""
        x = x + self.self_attention(self.norms[0](x), grid, control=control)
        x = x + self.cross_attention(self.norms[1](x), grid, context, mask, control)
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
    ) -> None:
        super().__init__()
        inner = heads * head_width
        self.norm = group_norm(channels, eps=1e-6)
        self.project_in = nn.Conv2d(channels, inner, 1)
        self.blocks = nn.ModuleList(
            TransformerBlock(inner, heads, head_width, context_width, backend, f"{name}.{i}") for i in range(depth)
        )
        self.project_out = zeroed(nn.Conv2d(inner, channels, 1))

    def forward(
        self,
        x: Float[Tensor, "B C H W"],
        context: Float[Tensor, "B L Dc"] | None,
        mask: Bool[Tensor, "B L"] | None,
        control: AttentionControl | None,
    ) -> Float[Tensor, "B C H W"]:
        """Update the features."""
        rows, columns = x.shape[-2:]
        tokens = self.project_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, (rows, columns), context, mask, control)
        return x + self.project_out(tokens.transpose(1, 2).unflatten(-1, (rows, columns)))
