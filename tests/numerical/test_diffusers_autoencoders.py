"""The same weights in diffusers' autoencoders and in ours: latents, codes, reconstructions and KL are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.autoencoders.blocks import PositionAttention, ResidualBlock
from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.autoencoders.vq import AutoencoderVQ

diffusers = pytest.importorskip("diffusers", exc_type=ImportError)

WIDTHS = (16, 32, 32)
OURS: dict[str, Any] = {
    "channels": 16,
    "multipliers": (1, 2, 2),
    "residual_blocks": 2,
    "norm_groups": 8,
    "attention_factors": (4,),
}
THEIRS: dict[str, Any] = {
    "block_out_channels": WIDTHS,
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "down_block_types": ("DownEncoderBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"),
}


def copy(mine: nn.Module, theirs: nn.Module) -> None:
    """Copy the weights of a part that both sides know."""
    if isinstance(mine, ResidualBlock):
        pairs = dict(zip(("norm1", "conv1", "norm2", "conv2"), (0, 2, 3, 5), strict=True))
        for name, index in pairs.items():
            copy(mine.branch[index], getattr(theirs, name))
        if not isinstance(mine.skip, nn.Identity):
            copy(mine.skip, theirs.conv_shortcut)
    elif isinstance(mine, PositionAttention):
        copy(mine.norm, theirs.group_norm)
        for name, linear in (("to_q", theirs.to_q), ("to_k", theirs.to_k), ("to_v", theirs.to_v)):
            copy(getattr(mine, name), linear)
        copy(mine.to_out, theirs.to_out[0])
    elif not isinstance(mine, nn.Conv2d | nn.GroupNorm):
        copy(mine.conv, theirs.conv)  # down- and upsampling
    else:
        mine.weight.data.copy_(theirs.weight.reshape(mine.weight.shape))
        mine.bias.data.copy_(theirs.bias)


def stages(blocks: Any, samplers: str) -> Iterator[nn.Module]:
    for block in blocks:
        attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
        for resnet, attention in zip(block.resnets, attentions, strict=True):
            yield from filter(None, (resnet, attention))
        yield from getattr(block, samplers) or ()


def middle(block: Any) -> list[nn.Module]:
    return [block.resnets[0], block.attentions[0], block.resnets[1]]


def copy_networks(mine: AutoencoderKL | AutoencoderVQ, theirs: Any) -> None:
    """Copy encoder and decoder, part by part in the order in which they run."""
    e, d = theirs.encoder, theirs.decoder
    encoding = [e.conv_in, *stages(e.down_blocks, "downsamplers"), *middle(e.mid_block), e.conv_norm_out, e.conv_out]
    decoding = [d.conv_in, *middle(d.mid_block), *stages(d.up_blocks, "upsamplers"), d.conv_norm_out, d.conv_out]
    ours = ([*mine.encoder.layers], [*mine.decoder.layers, mine.decoder.to_images])
    for own, other in zip(ours, (encoding, decoding), strict=True):
        parts = [part for part in own if not isinstance(part, nn.SiLU)]
        for pair in zip(parts, other, strict=True):
            copy(*pair)
    copy(mine.from_latents, theirs.post_quant_conv)


def randomise(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def error(mine: Tensor, theirs: Tensor) -> float:
    return float((mine - theirs).norm() / theirs.norm())


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 32, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def test_vq(images: Tensor) -> None:
    theirs: Any = randomise(diffusers.VQModel(**THEIRS, latent_channels=4, vq_embed_dim=3, num_vq_embeddings=64))
    theirs.quantize.embedding.weight.normal_()
    mine = AutoencoderVQ(**OURS, encoder_channels=4, latent_channels=3, codes=64).eval()
    copy_networks(mine, theirs)
    copy(mine.to_latents, theirs.quant_conv)
    mine.codebook.codes.copy_(theirs.quantize.embedding.weight)
    latents = theirs.encode(images).latents
    assert error(mine.encode(images), latents) < 1e-5
    quantized, _, (_, _, codes) = theirs.quantize(latents)
    assert torch.equal(mine.codebook.nearest(latents).flatten(), codes)
    assert len(codes.unique()) > 8
    assert error(mine.codebook(latents).latents, quantized) < 1e-5
    assert error(mine.decode(latents), theirs.decode(latents).sample) < 1e-5


@torch.no_grad()
def test_kl(images: Tensor) -> None:
    theirs: Any = randomise(diffusers.AutoencoderKL(**THEIRS, latent_channels=4))
    mine = AutoencoderKL(**OURS, latent_channels=4).eval()
    copy_networks(mine, theirs)
    copy(mine.to_moments, theirs.quant_conv)
    wanted, posterior = theirs.encode(images).latent_dist, mine.posterior(images)
    assert error(posterior.mean, wanted.mean) < 1e-5
    assert error(posterior.std, wanted.std) < 1e-5
    assert error(posterior.kl(), wanted.kl()) < 1e-5
    assert error(mine.decode(wanted.mean), theirs.decode(wanted.mean).sample) < 1e-5


def test_the_codebooks_loss_is_the_papers_not_diffusers_default() -> None:
    """beta |sg(z_q) - z|^2 + |z_q - sg(z)|^2 as means, in float64; diffusers' VQModel has beta on the other term."""
    torch.manual_seed(0)
    mine = AutoencoderVQ(8, (1,), 1, latent_channels=3, norm_groups=4, codes=20).codebook
    nn.init.normal_(mine.codes)
    latents = torch.randn(2, 3, 4, 4)
    vectors, codes = latents.double().permute(0, 2, 3, 1).reshape(-1, 1, 3), mine.codes.detach().double()
    mean_square = float((vectors - codes).square().sum(-1).min(dim=1).values.sum()) / latents.numel()
    assert float(mine(latents).loss.detach()) == pytest.approx(1.25 * mean_square, rel=1e-5)
    theirs = diffusers.models.autoencoders.vae.VectorQuantizer(20, 3, beta=0.25, legacy=False)
    theirs.embedding.weight.data.copy_(mine.codes)
    gradients = []
    for loss, weight in ((mine(latents).loss, mine.codes), (theirs(latents)[1], theirs.embedding.weight)):
        gradients += torch.autograd.grad(loss, weight)
    torch.testing.assert_close(*gradients)
