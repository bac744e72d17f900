"""What a command's config says of how pictures are drawn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose
from torch import nn

from ldmlab.configs.build import build_drawing
from ldmlab.configs.compose import hydra_at_conf
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Velocity
from ldmlab.diffusion.schedules import cosine
from ldmlab.drawing.drawing import Drawing
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.samplers.heun import Heun


@pytest.mark.parametrize(("command", "batch_size"), [("sample", 5), ("train", Drawing.batch_size)])
def test_groups_and_keys_of_a_command_make_one_value(command: str, batch_size: int) -> None:
    denoiser = Denoiser(nn.Identity(), cosine(), Velocity())
    conditioner = SimpleNamespace(says_something=True)
    model: Any = SimpleNamespace(denoiser=denoiser, conditioner=conditioner, latent_shape=(4, 8, 8))
    own = ["batch_size=5"] if command == "sample" else []
    with hydra_at_conf(command):
        cfg = compose(command, ["sampler=heun", "sampler.steps=7", "guidance.scale=3", *own])
    drawing = build_drawing(cfg, model, [4, 2])
    assert isinstance(drawing.sampler, Heun)
    assert isinstance(drawing.guidance, ClassifierFree)
    assert (drawing.sampler.steps, drawing.guidance.scale) == (7, 3)
    assert (drawing.seeds, drawing.batch_size) == ([4, 2], batch_size)
