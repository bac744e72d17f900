"""Rows of a softmax over picture and words, when parts of them are taken from elsewhere.

Shapes: P pairs, h heads, N queries, M keys, L words.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def with_picture(
    rows: Float[Tensor, "P h N M"], source: Float[Tensor, "P h N M"], tokens: int
) -> Float[Tensor, "P h N M"]:
    """Rows of a joint softmax in which the picture's tokens attend to each other as in the source.

    How much of a row goes to them stays as it was: that is what a self-attention map says, which sums to one over the
    picture. Rows that are the source's own come back to the last bit, as do those of a source that reads words alone.

    Args:
        rows: sum to one over M.
        source: as `rows`.
        tokens: N; the first keys.
    """
    target, theirs = rows[..., :tokens], source[..., :tokens]
    total = theirs.sum(dim=-1, keepdim=True)
    scale = target.sum(dim=-1, keepdim=True) / total.clamp(min=torch.finfo(total.dtype).tiny)
    return torch.cat([torch.where(total > 0, theirs * scale, target), rows[..., tokens:]], dim=-1)


def with_words(
    rows: Float[Tensor, "P h N M"], words: Float[Tensor, "P h N L"], columns: slice
) -> Float[Tensor, "P h N M"]:
    """Rows of a joint softmax with other words, which sum to what the words did.

    In a cross-attention a map of a word stands alone. Here the picture is in the same softmax, so what the words gain
    the other keys lose, each in proportion; words that ask for more than all there is, or have it to themselves, share
    that among them. Rows whose words weigh what they did come back to the last bit.

    Args:
        rows: sum to one over M.
        words: to stand in `columns`; they may be negative.
        columns: the keys that are words.
    """
    others = rows.clone()
    others[..., columns] = 0
    before, after = rows[..., columns].sum(dim=-1, keepdim=True), words.sum(dim=-1, keepdim=True)
    left = others.sum(dim=-1, keepdim=True)
    total = before + left
    fill = (after > total) | ((left == 0) & (after > 0))
    words = words * torch.where(fill, total / after, 1.0)
    others = others * (1 + (before - after) / left.clamp(min=torch.finfo(left.dtype).tiny)).clamp(min=0)
    others[..., columns] = words
    return others
