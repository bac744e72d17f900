"""The four blocks of the Diffusion Transformer (Peebles & Xie 2023, figure 3): how a condition reaches the tokens.

Shapes: B batch, N tokens, D width, L context tokens, Dc context width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.backbones.attention_layers import Attention
from ldmlab.backbones.block_inputs import BlockInputs
from ldmlab.types import AttentionSite


def modulate(
    x: Float[Tensor, "B N D"], shift: Float[Tensor, "B D"], scale: Float[Tensor, "B D"]
) -> Float[Tensor, "B N D"]:
    """x (1 + scale) + shift, alike for every token of a sample."""
    return x * (1 + scale[:, None]) + shift[:, None]


def layer_norm(width: int, affine: bool) -> nn.LayerNorm:
    """Layer norm over D; `affine` gives it a learned scale and shift of its own."""
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=affine)


def modulation(width: int, vectors: int) -> nn.Sequential:
    """SiLU and a linear layer: from an embedding (B, D) to `vectors` vectors of width D, side by side."""
    return nn.Sequential(nn.SiLU(), nn.Linear(width, vectors * width))


def feed_forward(width: int, ratio: float) -> nn.Sequential:
    """An MLP with a tanh GELU and `ratio` times D hidden features."""
    hidden = int(width * ratio)
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width))


def zero(module: nn.Module) -> None:
    """Set all parameters of a module to zero."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


class DiTBlock(nn.Module, ABC):
    """Updates the sequence of tokens, of which the first rows * columns are the picture's.

    A block's constructor takes (width, heads, mlp_ratio, context_width, backend, name, grid): D; attention heads; the
    hidden width of the MLP over D; Dc, or None for no context; the backend of attention; a prefix of the names of its
    attention sites; rows and columns of the picture's tokens.
    """

    adaptive: ClassVar[bool]
    """Whether scale and shift of the norms come from the condition, or are the norms' own."""
    in_sequence: ClassVar[bool] = False
    """Whether the context follows the picture in the sequence; the mask is then over all of it."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "B N D"], inputs: BlockInputs) -> Float[Tensor, "B N D"]:
        """The sequence after the block: N tokens come in, and N come out."""

    @abstractmethod
    def initialise(self) -> None:
        """Set the parameters that start at other values than those of Xavier's, which all linear layers have had."""


class SingleStreamBlock(DiTBlock):
    """Self-attention and an MLP, each a residual branch, and cross-attention between them where there is a context."""

    vectors: ClassVar[int] = 0
    """How many vectors an adaptive block regresses from the embedding."""

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float,
        context_width: int | None,
        backend: str,
        name: str,
        grid: tuple[int, int],
    ) -> None:
        super().__init__()
        affine = not self.adaptive
        self.has_context = context_width is not None and not self.in_sequence
        kind: Literal["self", "joint"] = "joint" if context_width is not None and self.in_sequence else "self"
        self.self_norm = layer_norm(width, affine)
        site = AttentionSite(f"{name}.{kind}", kind, grid)
        self.self_attention = Attention(width, heads, qkv_bias=True, backend=backend, site=site)
        if self.has_context:
            self.cross_norm = layer_norm(width, affine)
            site = AttentionSite(f"{name}.cross", "cross", grid)
            self.cross_attention = Attention(
                width, heads, context_width=context_width, qkv_bias=True, backend=backend, site=site
            )
        self.mlp_norm = layer_norm(width, affine)
        self.mlp = feed_forward(width, mlp_ratio)
        if self.adaptive:
            self.modulation = modulation(width, self.vectors)

    def initialise(self) -> None:
        """Scale self-attention's three projections to Xavier's bounds for one matrix of 3D x D, as in the reference."""
        for layer in (self.self_attention.to_q, self.self_attention.to_k, self.self_attention.to_v):
            layer.weight.data *= 0.5**0.5

    def _attend(self, x: Float[Tensor, "B N D"], inputs: BlockInputs) -> Float[Tensor, "B N D"]:
        return self.self_attention(x, inputs.grid, None, inputs.mask if self.in_sequence else None, inputs.control)

    def _attend_to_context(self, x: Float[Tensor, "B N D"], inputs: BlockInputs) -> Float[Tensor, "B N D"]:
        if not self.has_context:
            return x
        return x + self.cross_attention(self.cross_norm(x), inputs.grid, inputs.context, inputs.mask, inputs.control)


class InContextBlock(SingleStreamBlock):
    """The condition is further tokens of the sequence, as in a plain Transformer."""

    adaptive = False
    in_sequence = True

    def forward(self, x: Float[Tensor, "B N D"], inputs: BlockInputs) -> Float[Tensor, "B N D"]:
        """Self-attention and MLP over the whole sequence, which `inputs.mask` covers."""
        x = x + self._attend(self.self_norm(x), inputs)
        return x + self.mlp(self.mlp_norm(x))


class CrossAttentionBlock(SingleStreamBlock):
    """The condition is the context of a cross-attention between self-attention and MLP."""

    adaptive = False

    def forward(self, x: Float[Tensor, "B N D"], inputs: BlockInputs) -> Float[Tensor, "B N D"]:
        """Self-attention, cross-attention to `inputs.context`, MLP, each added to the tokens."""
        x = x + self._attend(self.self_norm(x), inputs)
        x = self._attend_to_context(x, inputs)
        return x + self.mlp(self.mlp_norm(x))


class AdaLNBlock(SingleStreamBlock):
    """Scale and shift of both norms are regressed from the embedding of the condition.

    They start at 1 and 0. Cross-attention to a context starts at zero through its output projection.
    """

    adaptive = True
    vectors = 4

    def forward(self, x: Float[Tensor, "B N D"], inputs: BlockInputs) -> Float[Tensor, "B N D"]:
        """Self-attention and MLP behind norms that `inputs.embedding` modulates; between them, attention to text."""
        shift, scale, mlp_shift, mlp_scale = self.modulation(inputs.embedding).chunk(4, dim=-1)
        x = x + self._attend(modulate(self.self_norm(x), shift, scale), inputs)
        x = self._attend_to_context(x, inputs)
        return x + self.mlp(modulate(self.mlp_norm(x), mlp_shift, mlp_scale))

    def initialise(self) -> None:
        """Start the modulation, and what a cross-attention adds, at zero."""
        super().initialise()
        for module in [self.modulation, *([self.cross_attention.to_out] if self.has_context else [])]:
            zero(module)


class AdaLNZeroBlock(AdaLNBlock):
    """Scale, shift and a gate of both branches are regressed from the embedding of the condition.

    Scales start at 1, shifts and gates at 0, so that the block starts as the identity.
    """

    vectors = 6

    def forward(self, x: Float[Tensor, "B N D"], inputs: BlockInputs) -> Float[Tensor, "B N D"]:
        """Self-attention and MLP behind modulated norms, each multiplied by a gate before it is added to the tokens."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(inputs.embedding).chunk(6, dim=-1)
        attended = self._attend(modulate(self.self_norm(x), shift, scale), inputs)
        x = self._attend_to_context(x + gate[:, None] * attended, inputs)
        return x + mlp_gate[:, None] * self.mlp(modulate(self.mlp_norm(x), mlp_shift, mlp_scale))


BLOCKS: dict[str, type[DiTBlock]] = {
    "in_context": InContextBlock,
    "cross_attention": CrossAttentionBlock,
    "adaln": AdaLNBlock,
    "adaln_zero": AdaLNZeroBlock,
}
