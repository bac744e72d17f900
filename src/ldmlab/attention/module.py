"""Multi-head attention, self or cross, with an optional control on its probabilities.

Shapes: B batch, N queries, M keys, D width, Dc context width, h heads.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ldmlab.attention.backends import attention_probs, resolve_backend
from ldmlab.attention.control import AttentionControl, AttentionSite


class Attention(nn.Module):
    """Queries from the picture, keys and values from the picture (self) or from the context (cross).

    W_Q is D x (h d), W_K and W_V are Dc x (h d), where d is `head_width`.

    Args:
        width: D, of queries and output.
        heads: h.
        head_width: d; width / heads if not given.
        context_width: Dc of the tokens attended to; None makes this self-attention.
        qkv_bias: whether the three input projections have a bias.
        backend: name for `resolve_backend`.
        name: the site's name, unique in the backbone; controls find it by that.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int | None = None,
        context_width: int | None = None,
        qkv_bias: bool = False,
        backend: str = "auto",
        name: str = "",
    ) -> None:
        super().__init__()
        if heads < 1 or (head_width is not None and head_width < 1):
            raise ValueError(f"heads={heads}, head_width={head_width}: attention has at least one head of width one")
        if head_width is None and width % heads:
            raise ValueError(f"heads={heads} does not divide width={width}; choose a divisor of the width")
        inner = heads * (head_width or width // heads)
        self.heads = heads
        self.name = name
        self.is_cross = context_width is not None
        self.attend = resolve_backend(backend)
        source = width if context_width is None else context_width
        self.to_q = nn.Linear(width, inner, bias=qkv_bias)
        self.to_k = nn.Linear(source, inner, bias=qkv_bias)
        self.to_v = nn.Linear(source, inner, bias=qkv_bias)
        self.to_out = nn.Linear(inner, width)

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        grid: tuple[int, int],
        context: Float[Tensor, "B M Dc"] | None = None,
        mask: Bool[Tensor, "B M"] | None = None,
        control: AttentionControl | None = None,
    ) -> Float[Tensor, "B N D"]:
        """Attend from `x`, tokens of a `grid` of rows and columns. Cross-attention requires `context`.

        Where more tokens follow those of the grid, they attend and are attended to like any, but only the rows of
        the grid's own are shown to a control.
        """
        source = x if context is None else context
        q, k, v = (self._split_heads(t) for t in (self.to_q(x), self.to_k(source), self.to_v(source)))
        key_mask = None if mask is None else mask[:, None, None, :]
        site = AttentionSite(self.name, "cross" if self.is_cross else "self", grid)
        if control is not None and control.wants(site):
            shown, rest = attention_probs(q, k, key_mask).tensor_split([grid[0] * grid[1]], dim=2)
            out = torch.cat([control.edit(shown, site), rest], dim=2) @ v
        else:
            out = self.attend(q, k, v, key_mask)
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _split_heads(self, x: Float[Tensor, "B N hd"]) -> Float[Tensor, "B h N d"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
