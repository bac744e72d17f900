"""Small models of both kinds, all of whose weights do something, and a picture to invert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.text import TextTransformer
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Velocity
from ldmlab.diffusion.schedules import cosine
from ldmlab.editing.inversion.base import InversionTask
from ldmlab.editing.inversion.pair import conditions
from ldmlab.editing.methods.base import EditTask
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM

SOURCE, TARGET = "a small red circle", "a small blue circle"
STEPS = 4


def backbone(name: str) -> nn.Module:
    widths: dict[str, Any] = {"channels": 4, "grid": 8, "context_width": 32, "vector_width": 32}
    if name == "dit":
        return DiT(patch=2, width=64, depth=2, heads=4, **widths)
    return UNet(model_channels=32, multipliers=(1, 2), residual_blocks=1, **widths)


def small_model(name: str) -> LatentDiffusion:
    torch.manual_seed(0)
    conditioner = TextTransformer(vocabulary=300, length=16, width=32, depth=1, heads=2)
    conditioner.prepare([SOURCE, TARGET] * 4)
    autoencoder = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8)
    made = LatentDiffusion(autoencoder, Denoiser(backbone(name), cosine(), Velocity()), conditioner, 8)
    with torch.no_grad():
        for parameter in made.denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.eval()


@pytest.fixture(params=["dit", "unet"])
def model(request: pytest.FixtureRequest) -> LatentDiffusion:
    return small_model(request.param)


@pytest.fixture
def dit() -> LatentDiffusion:
    return small_model("dit")


@pytest.fixture
def image() -> Tensor:
    """A picture of (16 x 16) pixels, as bytes."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (3, 16, 16), generator=generator, dtype=torch.uint8)


@pytest.fixture
def edit_task(image: Tensor) -> Callable[..., EditTask]:
    """(model, guidance, sampler, changes...) -> the picture's task."""

    def make(
        made: LatentDiffusion, guidance: Guidance | None = None, sampler: Sampler | None = None, **changes: Any
    ) -> EditTask:
        given = {"sources": [SOURCE], "targets": [TARGET], "image": image, **changes}
        return EditTask(made, sampler or DDIM(STEPS), guidance or ClassifierFree(7.5), [0], **given)

    return make


@pytest.fixture
def inversion_task(image: Tensor) -> Callable[..., InversionTask]:
    """(model, guidance) -> the same for an inversion alone."""

    def make(made: LatentDiffusion, guidance: Guidance | None = None) -> InversionTask:
        chosen = guidance or ClassifierFree(7.5)
        with torch.no_grad():
            latents, _ = made.autoencoder.moments(image[None].float() / 127.5 - 1)
            cond, uncond = conditions(made, chosen, SOURCE)
        levels = DDIM(STEPS).levels(made.denoiser.schedule)
        return InversionTask(latents, cond, uncond, made.denoiser, chosen, levels)

    return make
