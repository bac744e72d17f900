"""The latent diffusion UNet (Rombach et al. 2022): residual blocks and spatial Transformers on a pyramid.

Shapes: B batch, C channels, H x W latent grid, E width of the time embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ldmlab.backbones.block_inputs import BlockInputs
from ldmlab.backbones.checkpointing import Checkpointing
from ldmlab.backbones.embeddings import (
    TimestepEmbedding,
    VectorProjection,
    grid_positions,
    positions_on,
    require_field,
    with_concat,
)
from ldmlab.backbones.residual import group_norm, zeroed
from ldmlab.backbones.unet_stages import UNetLayers, decoder_stages, encoder_stages, middle_stages
from ldmlab.types import AttentionControl, Conditioning


def _position_map(rows: int, columns: int, width: int, base: int | None) -> Float[Tensor, "D H W"]:
    return grid_positions(rows, columns, width, base).T.unflatten(1, (rows, columns))


class UNet(Checkpointing):
    """Encoder, middle and decoder with a skip connection from every encoder stage.

    Args:
        channels: C of the noisy latents.
        grid: side of the square latent grid; every resolution must halve it evenly.
        model_channels: features at full resolution; a multiple of 32.
        multipliers: features at each resolution, as multiples of `model_channels`.
        residual_blocks: residual blocks a resolution in the encoder; the decoder has one more.
        attention_factors: downsampling factors (1, 2, 4 ...) at which there is attention; the middle has it too.
        heads: heads of every attention; give this or `head_width`.
        head_width: width of a head.
        transformer_depth: Transformer blocks in a spatial Transformer.
        context_width: width of the text tokens; None for no text.
        vector_width: width of the conditioning vector; None for none.
        out_channels: channels of the output; C if not given.
        dropout: in the residual blocks.
        attention: name of the attention backend, such as "auto".
        adaptive_norm: let the time and vector embedding scale and shift the residual blocks' features, as ADM does,
            rather than only add to them, as latent diffusion does.
        attention_block: "transformer" for spatial Transformers, or "plain" for self-attention alone, which reads no
            context, as in unconditional latent diffusion.
        residual_resampling: change the grid by residual blocks, as ADM does, rather than by single convolutions.
        concat_channels: channels that the conditioner concatenates to the latents, for example a mask.
        positions: add the Diffusion Transformer's table of sines and cosines to the features at full resolution.
            Convolutions otherwise learn where they are from the zeros around the grid alone, which takes long.
        base_grid: side of the latent grid whose positions are stretched over any other; the grid's own if not given.
    """

    positions: Tensor | None

    def __init__(
        self,
        channels: int,
        grid: int,
        model_channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 4),
        residual_blocks: int = 2,
        attention_factors: Sequence[int] = (1, 2, 4),
        heads: int | None = None,
        head_width: int | None = 32,
        transformer_depth: int = 1,
        context_width: int | None = None,
        vector_width: int | None = None,
        out_channels: int | None = None,
        dropout: float = 0.0,
        attention: str = "auto",
        adaptive_norm: bool = False,
        attention_block: str = "transformer",
        residual_resampling: bool = False,
        concat_channels: int = 0,
        positions: bool = False,
        base_grid: int | None = None,
    ) -> None:
        super().__init__()
        self.base_grid = base_grid
        table = _position_map(grid, grid, model_channels, base_grid) if positions else None
        self.register_buffer("positions", table, persistent=False)
        self.channels = channels + concat_channels
        self.concat_channels = concat_channels
        self.factor = 2 ** (len(multipliers) - 1)
        self._check_sides(grid, grid)
        self.has_context = context_width is not None and attention_block == "transformer"
        if attention_block == "plain" and context_width is not None and vector_width is None:
            raise ValueError(
                "backbone.attention_block=plain: reads no context, which is all that the conditioner gives; "
                "use backbone.attention_block=transformer or another conditioner"
            )
        embedding_width = 4 * model_channels
        self.time_embedding = TimestepEmbedding(model_channels, embedding_width)
        self.vector_projection = None if vector_width is None else VectorProjection(vector_width, embedding_width)
        layers = UNetLayers(
            grid,
            embedding_width,
            dropout,
            heads,
            head_width,
            transformer_depth,
            context_width,
            attention,
            adaptive_norm,
            attention_block,
            residual_resampling,
        )
        widths = [model_channels * m for m in multipliers]
        attends = [2**level in attention_factors for level in range(len(widths))]
        self.into = nn.Conv2d(self.channels, model_channels, 3, padding=1)
        self.down, skips = encoder_stages(layers, model_channels, widths, attends, residual_blocks)
        self.middle = middle_stages(layers, widths[-1], len(widths) - 1)
        self.up = decoder_stages(layers, skips, widths, attends, residual_blocks)
        self.out = nn.Sequential(
            group_norm(widths[0]), nn.SiLU(), zeroed(nn.Conv2d(widths[0], out_channels or channels, 3, padding=1))
        )

    def forward(
        self,
        x: Float[Tensor, "B C H W"],
        timesteps: Int[Tensor, " B"],
        cond: Conditioning,
        control: AttentionControl | None = None,
    ) -> Float[Tensor, "B Cout H W"]:
        """Predict from noisy latents at integer timesteps.

        Raises:
            ValueError: a field of `cond` is missing that the network was built for.
        """
        x = with_concat(x, cond)
        self._check(x)
        embedding = self.time_embedding(timesteps)
        if self.vector_projection is not None:
            embedding = embedding + self.vector_projection(require_field("vector", cond.vector, "UNet"))
        context = require_field("context", cond.context, "UNet") if self.has_context else None
        rows, columns = x.shape[-2:]
        inputs = BlockInputs(
            embedding, (rows, columns), context, cond.context_mask if self.has_context else None, control
        )
        hidden = self._placed(self.into(x))
        skips = [hidden]
        for stage in self.down:
            hidden = self.run_block(stage, hidden, inputs)
            skips.append(hidden)
        for stage in self.middle:
            hidden = self.run_block(stage, hidden, inputs)
        for stage in self.up:
            hidden = self.run_block(stage, torch.cat([hidden, skips.pop()], dim=1), inputs)
        return self.out(hidden)

    def stages(self) -> list[nn.Module]:
        """Its stages, in the order in which they run."""
        return [*self.down, *self.middle, *self.up]

    def _placed(self, hidden: Float[Tensor, "B D H W"]) -> Float[Tensor, "B D H W"]:
        if self.positions is None:
            return hidden
        width, rows, columns = hidden.shape[1:]
        fits = self.positions.shape[1:] == hidden.shape[2:]
        if fits:
            return hidden + self.positions.to(hidden)
        table = positions_on(rows, columns, width, self.base_grid, hidden.device)
        return hidden + table.T.unflatten(1, (rows, columns)).to(hidden)

    def _check(self, x: Tensor) -> None:
        channels, rows, columns = x.shape[1:]
        if channels != self.channels:
            raise ValueError(
                f"UNet takes {self.channels} channels, {self.concat_channels} of them from the conditioner, and got "
                f"{channels}; use the autoencoder that it was built for, or set backbone.concat_channels"
            )
        self._check_sides(rows, columns)

    def _check_sides(self, rows: int, columns: int) -> None:
        if rows % self.factor or columns % self.factor:
            raise ValueError(
                f"UNet halves its grid {self.factor.bit_length() - 1} times and cannot split {rows}x{columns}; "
                f"use sides that {self.factor} divides or fewer backbone.multipliers"
            )
