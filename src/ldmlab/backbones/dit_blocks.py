"""The four blocks of the Diffusion Transformer (Peebles & Xie 2023, figure 3): how a token stream is told a condition.

Shapes: B batch, N tokens, D width, L context tokens, Dc context width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor, nn

from ldmlab.attention.control import AttentionControl
from ldmlab.attention.module import Attention


def modulate(
    x: Float[Tensor, "B N D"], shift: Float[Tensor, "B D"], scale: Float[Tensor, "B D"]
) -> Float[Tensor, "B N D"]:
    """Scale and shift every token of a sample alike."""
    return x * (1 + scale[:, None]) + shift[:, None]


def layer_norm(width: int, affine: bool) -> nn.LayerNorm:
    """Layer norm with its own scale and shift, or with those that a condition gives it."""
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=affine)


def modulation(width: int, vectors: int) -> nn.Sequential:
    """Regresses so many vectors of width D from the embedding of the condition."""
    return nn.Sequential(nn.SiLU(), nn.Linear(width, vectors * width))


class DiTBlock(nn.Module, ABC):
    """Self-attention and an MLP, each a residual branch, and cross-attention between them where there is a context.

    Args:
        width: D.
        heads: attention heads.
        mlp_ratio: hidden width of the MLP over D.
        context_width: Dc; None for no cross-attention.
        backend: of attention.
        name: prefix of the names of the attention sites.
    """

    adaptive: ClassVar[bool]
    """Whether scale and shift of the norms come from the condition, or are the norms' own."""

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, context_width: int | None, backend: str, name: str
    ) -> None:
        super().__init__()
        affine = not self.adaptive
        self.self_norm = layer_norm(width, affine)
        self.self_attention = Attention(width, heads, qkv_bias=True, backend=backend, name=f"{name}.self")
        self.has_context = context_width is not None
        if context_width is not None:
            self.cross_norm = layer_norm(width, affine)
            self.cross_attention = Attention(
                width, heads, context_width=context_width, qkv_bias=True, backend=backend, name=f"{name}.cross"
            )
        hidden = int(width * mlp_ratio)
        self.mlp_norm = layer_norm(width, affine)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width))

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "B N D"],
        embedding: Float[Tensor, "B D"],
        grid: tuple[int, int],
        context: Float[Tensor, "B L Dc"] | None,
        mask: Bool[Tensor, "B L"] | None,
        control: AttentionControl | None,
    ) -> Float[Tensor, "B N D"]:
        """Update the tokens, of which the first rows * columns are the picture's."""

    def zero(self) -> None:
        """Set to zero what starts at zero; the rest has been initialised."""

    def _attend_to_context(
        self,
        x: Tensor,
        grid: tuple[int, int],
        context: Tensor | None,
        mask: Tensor | None,
        control: AttentionControl | None,
    ) -> Tensor:
        if not self.has_context:
            return x
        return x + self.cross_attention(self.cross_norm(x), grid, context, mask, control)


class InContextBlock(DiTBlock):
    """The condition is further tokens of the sequence, as in a plain Transformer; `mask` leaves out padded ones."""

    adaptive = False

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        embedding: Float[Tensor, "B D"],
        grid: tuple[int, int],
        context: Float[Tensor, "B L Dc"] | None,
        mask: Bool[Tensor, "B N"] | None,
        control: AttentionControl | None,
    ) -> Float[Tensor, "B N D"]:
        """Update all tokens; the mask is over the whole sequence."""
        x = x + self.self_attention(self.self_norm(x), grid, mask=mask, control=control)
        return x + self.mlp(self.mlp_norm(x))


class CrossAttentionBlock(DiTBlock):
    """The condition is the context of a cross-attention between self-attention and MLP."""

    adaptive = False

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        embedding: Float[Tensor, "B D"],
        grid: tuple[int, int],
        context: Float[Tensor, "B L Dc"] | None,
        mask: Bool[Tensor, "B L"] | None,
        control: AttentionControl | None,
    ) -> Float[Tensor, "B N D"]:
        """Update the tokens."""
        x = x + self.self_attention(self.self_norm(x), grid, control=control)
        x = self._attend_to_context(x, grid, context, mask, control)
        return x + self.mlp(self.mlp_norm(x))


class AdaLNBlock(DiTBlock):
    """Scale and shift of both norms are regressed from the embedding of the condition.

    They start at 1 and 0. Cross-attention to a context starts at zero through its output projection.
    """

    adaptive = True
    vectors: ClassVar[int] = 4

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, context_width: int | None, backend: str, name: str
    ) -> None:
        super().__init__(width, heads, mlp_ratio, context_width, backend, name)
        self.modulation = modulation(width, self.vectors)

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        embedding: Float[Tensor, "B D"],
        grid: tuple[int, int],
        context: Float[Tensor, "B L Dc"] | None,
        mask: Bool[Tensor, "B L"] | None,
        control: AttentionControl | None,
    ) -> Float[Tensor, "B N D"]:
        """Update the tokens."""
        shift, scale, mlp_shift, mlp_scale = self.modulation(embedding).chunk(4, dim=-1)
        x = x + self.self_attention(modulate(self.self_norm(x), shift, scale), grid, control=control)
        x = self._attend_to_context(x, grid, context, mask, control)
        return x + self.mlp(modulate(self.mlp_norm(x), mlp_shift, mlp_scale))

    def zero(self) -> None:
        """The modulation, and what a cross-attention adds."""
        for module in [self.modulation, *([self.cross_attention.to_out] if self.has_context else [])]:
            for parameter in module.parameters():
                nn.init.zeros_(parameter)


class AdaLNZeroBlock(AdaLNBlock):
    """As adaLN, with a gate on each of the two branches that is regressed as well; the block starts as the identity."""

    vectors = 6

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        embedding: Float[Tensor, "B D"],
        grid: tuple[int, int],
        context: Float[Tensor, "B L Dc"] | None,
        mask: Bool[Tensor, "B L"] | None,
        control: AttentionControl | None,
    ) -> Float[Tensor, "B N D"]:
        """Update the tokens."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(embedding).chunk(6, dim=-1)
        attended = self.self_attention(modulate(self.self_norm(x), shift, scale), grid, control=control)
        x = self._attend_to_context(x + gate[:, None] * attended, grid, context, mask, control)
        return x + mlp_gate[:, None] * self.mlp(modulate(self.mlp_norm(x), mlp_shift, mlp_scale))


BLOCKS: dict[str, type[DiTBlock]] = {
    "in_context": InContextBlock,
    "cross_attention": CrossAttentionBlock,
    "adaln": AdaLNBlock,
    "adaln_zero": AdaLNZeroBlock,
}
