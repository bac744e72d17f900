"""Diffusion Transformer with adaLN-Zero (Peebles & Xie 2023), and cross-attention where there is text.

Shapes: B batch, C channels, H x W latent grid, p patch, N = H W / p^2 tokens, D width, L text tokens.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ldmlab.attention.control import AttentionControl
from ldmlab.attention.module import Attention
from ldmlab.backbones.embeddings import TimestepEmbedding, VectorProjection, grid_positions, require, with_concat
from ldmlab.types import Conditioning

FREQUENCY_WIDTH = 256


def modulate(
    x: Float[Tensor, "B N D"], shift: Float[Tensor, "B D"], scale: Float[Tensor, "B D"]
) -> Float[Tensor, "B N D"]:
    """Scale and shift every token of a sample alike."""
    return x * (1 + scale[:, None]) + shift[:, None]


def layer_norm(width: int) -> nn.LayerNorm:
    """Layer norm whose scale and shift come from elsewhere."""
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)


class DiTBlock(nn.Module):
    """Self-attention, cross-attention where a context is given, and an MLP, each a residual branch.

    adaLN-Zero regresses shift, scale and gate of self-attention and MLP from the time and vector embedding, with
    gates of zero at the start. Cross-attention starts at zero through its output projection.
    """

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, context_width: int | None, backend: str, name: str
    ) -> None:
        super().__init__()
        self.self_norm = layer_norm(width)
        self.self_attention = Attention(width, heads, qkv_bias=True, backend=backend, name=f"{name}.self")
        if context_width is not None:
            self.cross_norm = layer_norm(width)
            self.cross_attention = Attention(
                width, heads, context_width=context_width, qkv_bias=True, backend=backend, name=f"{name}.cross"
            )
        self.has_context = context_width is not None
        hidden = int(width * mlp_ratio)
        self.mlp_norm = layer_norm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

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
        x = x + gate[:, None] * attended
        if self.has_context:
            x = x + self.cross_attention(self.cross_norm(x), grid, context, mask, control)
        return x + mlp_gate[:, None] * self.mlp(modulate(self.mlp_norm(x), mlp_shift, mlp_scale))


class DiT(nn.Module):
    """Patches of the latents as tokens through `depth` blocks. Its output at initialisation is exactly 0.

    Args:
        channels: C of the noisy latents (and of anything concatenated to them).
        grid: side of the square latent grid, in latents.
        patch: p, side of a patch in latents.
        width: D.
        depth: number of blocks.
        heads: attention heads; divides the width.
        mlp_ratio: hidden width of the MLP over D.
        context_width: width of the text tokens; None for no cross-attention.
        vector_width: width of the conditioning vector (class, pooled text); None for none.
        out_channels: channels of the output; C if not given.
        attention: backend, see `resolve_backend`.
    """

    def __init__(
        self,
        channels: int,
        grid: int,
        patch: int = 2,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        mlp_ratio: float = 4.0,
        context_width: int | None = None,
        vector_width: int | None = None,
        out_channels: int | None = None,
        attention: str = "auto",
    ) -> None:
        super().__init__()
        if grid % patch:
            raise ValueError(f"backbone.patch={patch} does not divide the latent grid of {grid}; choose a divisor")
        self.patch = patch
        self.grid = (grid // patch, grid // patch)
        self.channels = channels
        self.out_channels = out_channels or channels
        self.patch_embedding = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        self.register_buffer("positions", grid_positions(*self.grid, width), persistent=False)
        self.time_embedding = TimestepEmbedding(FREQUENCY_WIDTH, width)
        self.vector_projection = None if vector_width is None else VectorProjection(vector_width, width)
        self.has_context = context_width is not None
        self.blocks = nn.ModuleList(
            DiTBlock(width, heads, mlp_ratio, context_width, attention, f"blocks.{i}") for i in range(depth)
        )
        self.final_norm = layer_norm(width)
        self.final_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.final = nn.Linear(width, patch * patch * self.out_channels)
        self._initialise()

    def _initialise(self) -> None:
        zeroed: list[nn.Module] = [self.final_modulation, self.final]
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.flatten(1))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, DiTBlock):
                attention = module.self_attention
                for layer in (attention.to_q, attention.to_k, attention.to_v):
                    layer.weight.data *= 0.5**0.5  # the reference initialises the three as one matrix of 3D x D
                zeroed.append(module.modulation)
                if module.has_context:
                    zeroed.append(module.cross_attention.to_out)
        for parameter in self.time_embedding.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        for module in zeroed:
            for parameter in module.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self,
        x: Float[Tensor, "B C H W"],
        timesteps: Int[Tensor, " B"],
        cond: Conditioning,
        control: AttentionControl | None = None,
    ) -> Float[Tensor, "B Cout H W"]:
        """Predict from noisy latents at integer timesteps."""
        x = with_concat(x, cond)
        self._check(x)
        tokens = self.patch_embedding(x).flatten(2).transpose(1, 2) + self.positions
        embedding = self.time_embedding(timesteps)
        if self.vector_projection is not None:
            embedding = embedding + self.vector_projection(require("vector", cond.vector, "DiT"))
        context = require("context", cond.context, "DiT") if self.has_context else None
        for block in self.blocks:
            tokens = block(tokens, embedding, self.grid, context, cond.context_mask, control)
        shift, scale = self.final_modulation(embedding).chunk(2, dim=-1)
        return self._unpatchify(self.final(modulate(self.final_norm(tokens), shift, scale)))

    def _check(self, x: Tensor) -> None:
        expected = (self.channels, self.grid[0] * self.patch, self.grid[1] * self.patch)
        if tuple(x.shape[1:]) != expected:
            raise ValueError(
                f"DiT takes latents of shape {expected} and got {tuple(x.shape[1:])}; "
                "build it with the autoencoder's channels and grid"
            )

    def _unpatchify(self, tokens: Float[Tensor, "B N ppC"]) -> Float[Tensor, "B Cout H W"]:
        rows, columns = self.grid
        p = self.patch
        patches = tokens.unflatten(1, (rows, columns)).unflatten(-1, (p, p, self.out_channels))
        return torch.einsum("nhwpqc->nchpwq", patches).reshape(len(tokens), self.out_channels, rows * p, columns * p)
