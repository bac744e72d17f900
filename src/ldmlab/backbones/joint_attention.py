"""Attention in which the picture's tokens and the words' are one sequence, and each has weights of its own.

Shapes: B batch, N tokens of the picture, L words, D width.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ldmlab.attention.attend import attend
from ldmlab.attention.backends import resolve_backend
from ldmlab.backbones.attention_layers import Projections, key_mask
from ldmlab.backbones.rotary import Rotation, rotate
from ldmlab.types import AttentionControl, AttentionSite


class JointAttention(nn.Module):
    """One softmax over picture and words, as in a multimodal Diffusion Transformer (Esser et al. 2024, figure 2b).

    Args:
        width: D, of both.
        heads: h.
        head_width: d; width / heads if not given.
        qkv_bias: whether the input projections have a bias.
        qk_norm: whether each head's queries and keys have an RMS norm with learned factors.
        backend: name for `resolve_backend`.
        site: of kind "joint"; what a control knows this place by.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int | None = None,
        qkv_bias: bool = True,
        qk_norm: bool = False,
        backend: str = "auto",
        site: AttentionSite | None = None,
    ) -> None:
        super().__init__()
        self.site = site
        self.backend = resolve_backend(backend)
        self.picture, self.words = (
            Projections(width, heads, head_width, qkv_bias=qkv_bias, qk_norm=qk_norm) for _ in range(2)
        )

    def forward(
        self,
        picture: Float[Tensor, "B N D"],
        words: Float[Tensor, "B L D"],
        grid: tuple[int, int] | None = None,
        mask: Bool[Tensor, "B NL"] | None = None,
        control: AttentionControl | None = None,
        rotation: Rotation | None = None,
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B L D"]]:
        """Let picture and words attend to both, in one softmax.

        Args:
            picture: tokens of a grid.
            words: what comes after them in the sequence.
            grid: rows and columns of the picture's tokens; the site's own if not given.
            mask: True where a token of the sequence may be attended to.
            control: sees the probabilities of the picture's rows, and may replace them.
            rotation: of the picture's queries and keys, from `grid_rotation`; words have no place and are not turned.

        Returns:
            What the picture's tokens and what the words attended to, each through its own output projection.
        """
        q, k, v = self.picture.split(picture, picture)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        both = zip((q, k, v), self.words.split(words, words), strict=True)
        q, k, v = (torch.cat(pair, dim=2) for pair in both)
        attended = attend(q, k, v, key_mask(mask), self.site, control, grid, self.backend)
        mine, theirs = attended.tensor_split([picture.shape[1]], dim=2)
        return self.picture.join(mine), self.words.join(theirs)
