"""Diffusion Transformer with any of its four blocks (Peebles & Xie 2023), for classes and for text.

Shapes: B batch, C channels, H x W latent grid, p patch, N = H W / p^2 tokens, D width, L context tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ldmlab.backbones.block_inputs import BlockInputs
from ldmlab.backbones.checkpointing import Checkpointing
from ldmlab.backbones.dit_blocks import BLOCKS, DiTBlock, layer_norm, modulate, modulation, zero
from ldmlab.backbones.embeddings import (
    TimestepEmbedding,
    VectorProjection,
    grid_positions,
    positions_on,
    require_field,
    with_concat,
)
from ldmlab.types import AttentionControl, Conditioning

FREQUENCY_WIDTH = 256


class DiT(Checkpointing):
    """Patches of the latents as tokens through `depth` blocks. Its output at initialisation is exactly 0.

    It takes latents of any sides that the patch divides, if its blocks do; positions are counted, or stretched, anew.

    What `conditioning` does with time, vector and context:

    - "adaln_zero", "adaln": time and vector, added up, modulate every block; there is a cross-attention to a context.
    - "cross_attention": every block attends to context, time and vector, one token each for the latter two.
    - "in_context": the same tokens follow those of the picture in the sequence, and are dropped at the end.

    A context token j is key j of every cross-attention. In "in_context", a control sees how the N tokens of the
    picture attend to the whole sequence: picture, context, time, vector.

    Args:
        channels: C of the noisy latents.
        grid: side of the square latent grid, in latents, that it is made for.
        patch: p, side of a patch in latents.
        width: D.
        depth: number of blocks.
        heads: attention heads; divides the width.
        mlp_ratio: hidden width of the MLP over D.
        context_width: width of the text tokens; None for no text.
        vector_width: width of the conditioning vector (class, pooled text); None for none.
        out_channels: channels of the output; C if not given.
        attention: name of the attention backend, such as "auto".
        conditioning: the kind of block.
        concat_channels: channels that the conditioner concatenates to the latents.
        base_grid: side of the latent grid whose positions are stretched over any other; the grid's own if not given.
    """

    positions: Tensor

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
        conditioning: str = "adaln_zero",
        concat_channels: int = 0,
        base_grid: int | None = None,
    ) -> None:
        super().__init__()
        if grid % patch:
            raise ValueError(f"backbone.patch={patch} does not divide the latent grid of {grid}; choose a divisor")
        make_block = _block_class(conditioning, context_width, vector_width)
        self.patch = patch
        self.grid = (grid // patch, grid // patch)
        self.channels = channels + concat_channels
        self.concat_channels = concat_channels
        self.out_channels = out_channels or channels
        self.patch_embedding = nn.Conv2d(self.channels, width, kernel_size=patch, stride=patch)
        self.base = None if base_grid is None else base_grid // patch
        self.register_buffer("positions", grid_positions(*self.grid, width, self.base), persistent=False)
        self.time_embedding = TimestepEmbedding(FREQUENCY_WIDTH, width)
        self.vector_projection = None if vector_width is None else VectorProjection(vector_width, width)
        self.has_context = context_width is not None
        self.in_sequence = make_block.in_sequence
        attended, as_tokens = context_width, make_block.in_sequence or not make_block.adaptive
        self.context_projection = None
        if as_tokens and context_width is not None:
            self.context_projection = VectorProjection(context_width, width)
        if as_tokens:  # as wide as the picture's; a cross-attention always has that of the time
            attended = width if self.has_context or not make_block.in_sequence else None
        blocks = [
            make_block(width, heads, mlp_ratio, attended, attention, f"blocks.{i}", self.grid) for i in range(depth)
        ]
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = layer_norm(width, affine=not make_block.adaptive)
        self.final_modulation = modulation(width, 2) if make_block.adaptive else None
        self.final = nn.Linear(width, patch * patch * self.out_channels)
        self._initialise(blocks)

    def _initialise(self, blocks: Sequence[DiTBlock]) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.flatten(1))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in blocks:
            block.initialise()
        for parameter in self.time_embedding.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        for module in filter(None, [self.final_modulation, self.final]):
            zero(module)

    def forward(
        self,
        x: Float[Tensor, "B C H W"],
        timesteps: Int[Tensor, " B"],
        cond: Conditioning,
        control: AttentionControl | None = None,
    ) -> Float[Tensor, "B Cout H W"]:
        """Predict from noisy latents at integer timesteps.

        Raises:
            ValueError: the latents have other channels or sides that the patch does not divide, or a field of `cond` is
                missing that the network was built for.
        """
        x = with_concat(x, cond)
        self._check(x)
        # Sums keep the layout of what they add to: that of an image would be copied by every norm on the way.
        patches = self.patch_embedding(x)
        rows, columns = patches.shape[-2:]
        tokens = patches.flatten(2).transpose(1, 2).contiguous() + self._positions_on(rows, columns)
        count = tokens.shape[1]
        embedding, context, mask = self._condition(timesteps, cond)
        if self.in_sequence and context is not None:
            tokens, context = torch.cat([tokens, context], dim=1), None
            mask = None if mask is None else F.pad(mask, (count, 0), value=True)
        inputs = BlockInputs(embedding, (rows, columns), context, mask, control)
        for block in self.blocks:
            tokens = self.run_block(block, tokens, inputs)
        normed = self.final_norm(tokens[:, :count])
        if self.final_modulation is not None:
            shift, scale = self.final_modulation(embedding).chunk(2, dim=-1)
            normed = modulate(normed, shift, scale)
        return self._unpatchify(self.final(normed), rows, columns)

    def stages(self) -> list[nn.Module]:
        """Its blocks, in the order in which they run."""
        return list(self.blocks)

    def programs(self) -> list[nn.Module]:
        """What is compiled of it: its blocks, which are alike and share a program."""
        return list(self.blocks)

    def _condition(
        self, timesteps: Int[Tensor, " B"], cond: Conditioning
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B L Dc"] | None, Bool[Tensor, "B L"] | None]:
        """The embedding that modulates, and the tokens of the condition with their mask."""
        time = self.time_embedding(timesteps)
        vector = None
        if self.vector_projection is not None:
            vector = self.vector_projection(require_field("vector", cond.vector, "DiT"))
        context = require_field("context", cond.context, "DiT") if self.has_context else None
        mask = cond.context_mask if self.has_context else None
        if context is not None and self.context_projection is not None:
            context = self.context_projection(context)
        if self.final_modulation is not None:
            return (time if vector is None else time + vector), context, mask
        extra = torch.stack([token for token in (time, vector) if token is not None], dim=1)
        if context is None:
            return time, extra, None
        mask = None if mask is None else F.pad(mask, (0, extra.shape[1]), value=True)
        return time, torch.cat([context, extra], dim=1), mask

    def _check(self, x: Tensor) -> None:
        channels, *sides = x.shape[1:]
        if channels != self.channels or any(side % self.patch for side in sides):
            native = (self.channels, *(side * self.patch for side in self.grid))
            raise ValueError(
                f"DiT takes latents of shape {native}, or of other sides that {self.patch} divides, and got "
                f"{tuple(x.shape[1:])}; use the autoencoder and data.image_size that it was built for, or set "
                "backbone.concat_channels"
            )

    def _positions_on(self, rows: int, columns: int) -> Float[Tensor, "N D"]:
        if (rows, columns) == self.grid:
            return self.positions
        return positions_on(rows, columns, self.positions.shape[-1], self.base, self.positions.device).to(
            self.positions
        )

    def _unpatchify(self, tokens: Float[Tensor, "B N ppC"], rows: int, columns: int) -> Float[Tensor, "B Cout H W"]:
        p = self.patch
        patches = tokens.unflatten(1, (rows, columns)).unflatten(-1, (p, p, self.out_channels))
        return torch.einsum("nhwpqc->nchpwq", patches).reshape(len(tokens), self.out_channels, rows * p, columns * p)


def _block_class(conditioning: str, context_width: int | None, vector_width: int | None) -> type[DiTBlock]:
    if conditioning not in BLOCKS:
        raise ValueError(f"backbone.conditioning={conditioning}: choose one of {', '.join(BLOCKS)}")
    if conditioning == "cross_attention" and context_width is None and vector_width is None:
        raise ValueError(
            f"backbone.conditioning={conditioning}: the conditioner gives nothing to attend to but the time; "
            "choose another conditioner, or backbone.conditioning=adaln_zero"
        )
    return BLOCKS[conditioning]
