"""Small models, all of whose weights do something."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.text import TextTransformer
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.models.latent_diffusion import LatentDiffusion

CAPTIONS = [f"a {size} {colour} {shape}" for size in ("big", "small") for colour in ("red", "blue") for shape in "1234"]


def _text() -> TextTransformer:
    conditioner = TextTransformer(vocabulary=300, length=16, width=32, depth=1, heads=2)
    conditioner.prepare(CAPTIONS)
    return conditioner


def _backbone(name: str, conditioner: Conditioner) -> nn.Module:
    widths: dict[str, Any] = {"context_width": conditioner.context_width, "vector_width": conditioner.vector_width}
    widths["concat_channels"] = conditioner.concat_channels
    if name == "dit":
        return DiT(channels=4, grid=8, patch=2, width=64, depth=2, heads=4, **widths)
    return UNet(channels=4, grid=8, model_channels=32, multipliers=(1, 2), residual_blocks=1, **widths)


def _model(name: str, conditioner: Conditioner | None = None) -> LatentDiffusion:
    torch.manual_seed(0)
    conditioner = conditioner or _text()
    autoencoder = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8)
    conditioner.place(autoencoder, 8)
    denoiser = Denoiser(_backbone(name, conditioner), scaled_linear(), Epsilon())
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return LatentDiffusion(autoencoder, denoiser, conditioner, 8).eval()


_cached = cache(_model)


@pytest.fixture
def model() -> LatentDiffusion:
    """A DiT that reads text: pictures of 16 x 16 from 8 x 8 latents. Not to be changed."""
    return _cached("dit")


@pytest.fixture
def unet() -> LatentDiffusion:
    """The same with a UNet."""
    return _cached("unet")


@pytest.fixture
def make_model() -> Callable[[Conditioner], LatentDiffusion]:
    """(conditioner) -> a DiT of its own."""
    return lambda conditioner: _model("dit", conditioner)


@pytest.fixture
def make_text() -> Callable[[], TextTransformer]:
    """() -> a conditioner that knows `captions`."""
    return _text


@pytest.fixture
def captions() -> list[str]:
    """16 of them."""
    return CAPTIONS
