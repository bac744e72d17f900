"""The same networks from ldmlab and from diffusers, untrained, with weights on which nothing is zero."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.objectives import Hybrid
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import linear
from ldmlab.models.latent_diffusion import LatentDiffusion
from side_by_side.sizes import DecoderSize, DiTSize, UNetSize

CLASSES = 1000
Network = TypeVar("Network", bound=nn.Module)


def our_dit(size: DiTSize) -> LatentDiffusion:
    """A class-conditional model as in DiT: hybrid objective, learned variance, and the autoencoder of factor 8."""
    denoiser = Denoiser(our_transformer(size), linear(), Epsilon(), Hybrid())
    return LatentDiffusion(our_autoencoder(decoder_of(size)), denoiser, ClassLabel(CLASSES, size.width), size.grid)


def our_transformer(size: DiTSize) -> DiT:
    """Its backbone."""
    return shaken(
        DiT(4, size.grid, width=size.width, depth=size.depth, heads=size.heads, vector_width=size.width, out_channels=8)
    )


def their_dit(size: DiTSize) -> Any:
    """DiTTransformer2DModel; its blocks share one embedder of time and class, as in DiT's public weights."""
    from diffusers import DiTTransformer2DModel

    network: Any = DiTTransformer2DModel(
        num_attention_heads=size.heads,
        attention_head_dim=size.width // size.heads,
        in_channels=4,
        out_channels=8,
        num_layers=size.depth,
        sample_size=size.grid,
        patch_size=2,
        num_embeds_ada_norm=CLASSES,
    )
    for block in network.transformer_blocks:
        block.norm1.emb = network.transformer_blocks[0].norm1.emb
    return shaken(network)


def our_unet(size: UNetSize) -> UNet:
    """Stable Diffusion's."""
    width, levels = size.features[0], range(len(size.features) - 1)
    return shaken(
        UNet(
            4,
            size.grid,
            model_channels=width,
            multipliers=[features // width for features in size.features],
            attention_factors=[2**level for level in levels],
            heads=8,
            head_width=None,
            context_width=size.context[1],
        )
    )


def their_unet(size: UNetSize) -> Any:
    """UNet2DConditionModel; its `attention_head_dim` is the number of heads."""
    from diffusers import UNet2DConditionModel

    lower = len(size.features) - 1
    network: Any = UNet2DConditionModel(
        sample_size=size.grid,
        in_channels=4,
        out_channels=4,
        block_out_channels=size.features,
        down_block_types=("CrossAttnDownBlock2D",) * lower + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * lower,
        cross_attention_dim=size.context[1],
        attention_head_dim=8,
    )
    return shaken(network)


def decoder_of(size: DiTSize) -> DecoderSize:
    """Of the pictures that a network draws: that of KL-f8, or for a tiny one as small as it gets."""
    features = (128, 256, 512, 512) if size.width > 64 else (32, 32)
    return DecoderSize("", features, size.grid * 2 ** (len(features) - 1), 1)


def our_autoencoder(size: DecoderSize) -> AutoencoderKL:
    """Latent diffusion's, of KL."""
    width = size.features[0]
    return AutoencoderKL(width, [features // width for features in size.features])


def their_autoencoder(size: DecoderSize) -> Any:
    """AutoencoderKL."""
    from diffusers import AutoencoderKL as Theirs

    levels = len(size.features)
    return Theirs(
        block_out_channels=size.features,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=2,
        latent_channels=4,
    )


def shaken(network: Network) -> Network:
    """The same with small noise in every parameter: what starts at zero would be quick to multiply."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def latents(count: int, grid: int, device: torch.device) -> Tensor:
    """N(0, 1)."""
    return torch.randn(count, 4, grid, grid, device=device)
