"""Inversion of a held-out picture with both shipped models, measured against what their autoencoder keeps of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ldmlab.drawing.drawing import Drawing
from ldmlab.editing.inversion.base import Inversion
from ldmlab.editing.inversion.ddim import DDIMInversion
from ldmlab.editing.inversion.direct import Direct
from ldmlab.editing.inversion.negative_prompt import NegativePrompt
from ldmlab.editing.inversion.null_text import NullText
from ldmlab.editing.inversion.real_image import InvertedImage, invert_image
from ldmlab.editing.methods.base import EditTask
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.samplers.ddim import DDIM
from ldmlab.worlds.shapes.dataset import ShapesSource

HELDOUT = 3


@pytest.fixture(scope="module", params=["shapes/dit", pytest.param("shapes/unet", marks=pytest.mark.slow)])
def task(request: pytest.FixtureRequest) -> EditTask:
    """A held-out scene, at the default guidance."""
    model = load_latent_diffusion(request.param).model
    assert isinstance(model, LatentDiffusion)
    sample = ShapesSource().sample("heldout", HELDOUT)
    image = torch.from_numpy(np.array(sample.image)).permute(2, 0, 1)
    return EditTask(model, Drawing(DDIM(20), ClassifierFree(4.0), [0]), [sample.caption], None, image)


def loss(inverted: InvertedImage) -> float:
    """Decibels that the inversion loses to the autoencoder alone."""
    return inverted.autoencoder_psnr - inverted.psnr


@pytest.mark.slow
def test_null_text_inversion_keeps_within_a_decibel_where_ddim_inversion_does_not(task: EditTask) -> None:
    inverted = invert_image(task, NullText())
    assert inverted.autoencoder_psnr > 25
    assert loss(inverted) < 1
    assert loss(invert_image(task, DDIMInversion())) > 3


@pytest.mark.parametrize("inversion", [NegativePrompt(), Direct()], ids=["negative_prompt", "direct"])
def test_what_seeks_nothing_keeps_within_a_decibel_too(task: EditTask, inversion: Inversion) -> None:
    assert loss(invert_image(task, inversion)) < 1


def test_without_guidance_the_walk_back_is_the_samplers_own_path(task: EditTask) -> None:
    """The more its steps are solved, the nearer."""
    errors, unguided = [], replace(task.drawing, guidance=NoGuidance())
    for iterations in (1, 5):
        inverted = invert_image(replace(task, drawing=unguided), DDIMInversion(iterations))
        wanted = task.model.decode(inverted.inverted.trajectory[-1])
        errors.append(float((inverted.reconstruction.double() - wanted.double()).square().mean()))
    assert errors[1] < errors[0] < 20
