"""Projections of tokens to queries, keys and values, and the modules that attend with them.

Shapes: B batch, N queries, M keys, D width, Dc context width, h heads, d head width.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from ldmlab.attention.attend import attend
from ldmlab.attention.backends import resolve_backend
from ldmlab.types import AttentionControl, AttentionSite


class Projections(nn.Module):
    """What one kind of tokens needs to attend and to be attended to.

    W_Q is D x (h d), W_K and W_V are Dc x (h d), W_out is (h d) x D.

    Args:
        width: D, of the tokens that ask, and of what they get.
        heads: h.
        head_width: d; width / heads if not given.
        context_width: Dc, of the tokens attended to; D if not given.
        qkv_bias: whether the three input projections have a bias.
        qk_norm: whether each head's queries and keys are divided by their root mean square and scaled by learned
            factors, which bounds their products (Henry et al. 2020, Dehghani et al. 2023; as in Esser et al. 2024).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int | None = None,
        context_width: int | None = None,
        qkv_bias: bool = False,
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or (head_width is not None and head_width < 1):
            raise ValueError(f"heads={heads}, head_width={head_width}: attention has at least one head of width one")
        if head_width is None and width % heads:
            raise ValueError(f"heads={heads} does not divide width={width}; choose a divisor of the width")
        self.heads = heads
        per_head = head_width or width // heads
        source = width if context_width is None else context_width
        self.to_q = nn.Linear(width, heads * per_head, bias=qkv_bias)
        self.to_k = nn.Linear(source, heads * per_head, bias=qkv_bias)
        self.to_v = nn.Linear(source, heads * per_head, bias=qkv_bias)
        self.to_out = nn.Linear(heads * per_head, width)
        self.q_norm, self.k_norm = (nn.RMSNorm(per_head, eps=1e-6) if qk_norm else None for _ in range(2))

    def split(self, x: Float[Tensor, "B N D"], source: Float[Tensor, "B M Dc"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of `x` (B,h,N,d), keys and values of `source` (B,h,M,d)."""
        q, k, v = (
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projected in (self.to_q(x), self.to_k(source), self.to_v(source))
        )
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q).to(v.dtype), self.k_norm(k).to(v.dtype)
        return q, k, v

    def join(self, attended: Float[Tensor, "B h N d"]) -> Float[Tensor, "B N D"]:
        """The output projection of what the heads return, side by side."""
        return self.to_out(attended.transpose(1, 2).flatten(2))


class Attention(Projections):
    """Queries from the picture, keys and values from the picture (self) or from the context (cross).

    Args:
        width: D of the tokens that ask, and of what they get.
        heads: h.
        head_width: d; width / heads if not given.
        context_width: Dc of the tokens attended to; None makes this self-attention.
        qkv_bias: whether the three input projections have a bias.
        backend: name for `resolve_backend`.
        site: what a control knows this place by; None where none may look.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int | None = None,
        context_width: int | None = None,
        qkv_bias: bool = False,
        backend: str = "auto",
        site: AttentionSite | None = None,
    ) -> None:
        super().__init__(width, heads, head_width, context_width, qkv_bias)
        self.site = site
        self.backend = resolve_backend(backend)

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        grid: tuple[int, int] | None = None,
        context: Float[Tensor, "B M Dc"] | None = None,
        mask: Bool[Tensor, "B M"] | None = None,
        control: AttentionControl | None = None,
    ) -> Float[Tensor, "B N D"]:
        """Attend from `x`, the tokens of a `grid` of rows and columns. Cross-attention takes the `context`.

        Where more tokens follow those of the grid, they attend and are attended to like any, but only the rows of
        the grid's own are shown to a control.
        """
        q, k, v = self.split(x, x if context is None else context)
        return self.join(attend(q, k, v, key_mask(mask), self.site, control, grid, self.backend))


def key_mask(mask: Bool[Tensor, "B M"] | None) -> Bool[Tensor, "B 1 1 M"] | None:
    """A mask over keys alone, shaped to hold for every head and query."""
    return None if mask is None else mask[:, None, None, :]
