"""Small models of both kinds, all of whose weights do something, and a picture to invert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.drawing.conditions import Subject, conditions
from ldmlab.drawing.drawing import Drawing
from ldmlab.editing.inversion.base import InversionTask
from ldmlab.editing.methods.base import EditTask
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM

SOURCE, TARGET = "a small red circle", "a small blue circle"
STEPS = 4


@pytest.fixture
def model(each_model: LatentDiffusion) -> LatentDiffusion:
    return each_model


@pytest.fixture
def dit(small_model: LatentDiffusion) -> LatentDiffusion:
    return small_model


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
        return EditTask(made, Drawing(sampler or DDIM(STEPS), guidance or ClassifierFree(7.5), [0]), **given)

    return make


@pytest.fixture
def inversion_task(image: Tensor) -> Callable[..., InversionTask]:
    """(model, guidance) -> the same for an inversion alone."""

    def make(made: LatentDiffusion, guidance: Guidance | None = None) -> InversionTask:
        chosen = guidance or ClassifierFree(7.5)
        with torch.no_grad():
            latents, _ = made.autoencoder.moments(image[None].float() / 127.5 - 1)
            found = conditions(made, chosen, Subject({"captions": [SOURCE]}), [0])
        levels = DDIM(STEPS).levels(made.denoiser.schedule)
        return InversionTask(latents, found, made.denoiser, chosen, levels)

    return make
