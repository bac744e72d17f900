"""Self-attention over grid positions and nothing else, as in the unconditional UNets (Dhariwal & Nichol 2021)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.backbones.attention_layers import Attention
from ldmlab.backbones.block_inputs import BlockInputs
from ldmlab.backbones.residual import group_norm, zeroed
from ldmlab.types import AttentionSite


class SpatialSelfAttention(nn.Module):
    """GroupNorm, self-attention with biases, a zeroed output projection, residual. It reads no context."""

    def __init__(
        self, channels: int, heads: int, head_width: int, backend: str, name: str, grid: tuple[int, int]
    ) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        site = AttentionSite(f"{name}.self", "self", grid)
        self.attention = Attention(channels, heads, head_width, qkv_bias=True, backend=backend, site=site)
        zeroed(self.attention.to_out)

    def forward(self, x: Float[Tensor, "B C H W"], inputs: BlockInputs) -> Float[Tensor, "B C H W"]:
        """The features, each position with what it attended to added."""
        rows, columns = x.shape[-2:]
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        attended = self.attention(tokens, (rows, columns), control=inputs.control)
        return x + attended.transpose(1, 2).unflatten(-1, (rows, columns))
