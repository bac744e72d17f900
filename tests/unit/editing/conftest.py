"""Small models of both kinds, all of whose weights do something."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.text import TextTransformer
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Velocity
from ldmlab.diffusion.schedules import cosine
from ldmlab.models.latent_diffusion import LatentDiffusion


def _backbone(name: str) -> nn.Module:
    widths: dict[str, Any] = {"channels": 4, "grid": 8, "context_width": 32, "vector_width": 32}
    if name == "dit":
        return DiT(patch=2, width=64, depth=2, heads=4, **widths)
    return UNet(model_channels=32, multipliers=(1, 2), residual_blocks=1, **widths)


@cache
def _model(name: str) -> LatentDiffusion:
    torch.manual_seed(0)
    conditioner = TextTransformer(vocabulary=300, length=16, width=32, depth=1, heads=2)
    conditioner.prepare(["a small red circle", "a big blue star"] * 4)
    autoencoder = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8)
    made = LatentDiffusion(autoencoder, Denoiser(_backbone(name), cosine(), Velocity()), conditioner, 8)
    with torch.no_grad():
        for parameter in made.denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.eval()


@pytest.fixture(params=["dit", "unet"])
def each_model(request: pytest.FixtureRequest) -> LatentDiffusion:
    """Pictures of 16 x 16 from 8 x 8 latents; not to be changed."""
    return _model(request.param)


@pytest.fixture
def small_model() -> LatentDiffusion:
    """The first of them."""
    return _model("dit")
