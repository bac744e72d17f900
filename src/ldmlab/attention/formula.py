"""Scaled dot-product attention softmax(q k^T / sqrt(d)) v, written out and by PyTorch's choice of a kernel.

Shapes: B batch, h heads, N queries, M keys, d head width. A mask is boolean, True where a key may be attended to.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Mask = Bool[Tensor, "#B #h #N M"] | None
Backend = Callable[[Tensor, Tensor, Tensor, Mask], Tensor]


def attention_probs(q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], mask: Mask) -> Float[Tensor, "B h N M"]:
    """softmax over M of q k^T / sqrt(d) (Vaswani et al. 2017, eq. 1), masked keys at exactly 0."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1)


def explicit(
    q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], v: Float[Tensor, "B h M d"], mask: Mask
) -> Float[Tensor, "B h N d"]:
    """softmax(q k^T / sqrt(d)) v as written, with the probabilities (B, h, N, M) in memory."""
    return attention_probs(q, k, mask) @ v


def sdpa(
    q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], v: Float[Tensor, "B h M d"], mask: Mask
) -> Float[Tensor, "B h N d"]:
    """softmax(q k^T / sqrt(d)) v by the fused kernel that PyTorch's `scaled_dot_product_attention` prefers."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
