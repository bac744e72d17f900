"""Whatever is drawn, what is copied between host and device is copied at its ends: more steps, no more copies.

The GPU is one of fake tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.conditioners.text import TextTransformer
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.drawing.conditions import Subject, conditions
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample, sample_pairs
from ldmlab.editing.inversion.base import Inverted
from ldmlab.editing.inversion.pair import draw_inverted
from ldmlab.editing.maps.word_maps import MapColumns, sample_with_maps
from ldmlab.editing.methods.mask_blend import KeepOutside
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.editing.prompts.prompt_to_prompt_control import PromptToPromptControl
from ldmlab.editing.regions.redraw import Redraw, redraw
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.ddpm import DDPM
from ldmlab.types import Level, Uncontrolled

from .copies import Copies, fake_gpu

SOURCE, TARGET = "a red star", "a blue star"


@pytest.fixture(scope="module")
def model() -> LatentDiffusion:
    """Pictures of 16 x 16 from 8 x 8 latents."""
    conditioner = TextTransformer(vocabulary=300, length=8, width=16, depth=1, heads=2)
    conditioner.prepare([SOURCE, TARGET])
    autoencoder = AutoencoderKL(channels=8, multipliers=(1, 1), residual_blocks=1, norm_groups=4)
    network = DiT(4, 8, patch=2, width=16, depth=1, heads=2, context_width=16, vector_width=16)
    return LatentDiffusion(autoencoder, Denoiser(network, scaled_linear(), Epsilon()), conditioner, 8).eval()


def batch(prompt: str) -> dict[str, list[str]]:
    return {"captions": [prompt] * 2}


def plain(model: LatentDiffusion, drawing: Drawing) -> None:
    sample(model, drawing, batch(SOURCE), negative=batch(TARGET))


def observed(model: LatentDiffusion, drawing: Drawing) -> None:
    columns = [MapColumns.of(model.conditioner.words(SOURCE))] * 2
    sample_with_maps(model, drawing, batch(SOURCE), columns)


def prompt_to_prompt(model: LatentDiffusion, drawing: Drawing) -> None:
    settings = EditSettings(blend=[], reweight={"blue": 2.0})
    words = [model.conditioner.words(prompt) for prompt in (SOURCE, TARGET)]

    def control(rows: Sequence[int]) -> PromptToPromptControl:
        with unset_fake_temporarily():
            edit = PromptEdit.between(*words, drawing.sampler.steps, settings)
            return PromptToPromptControl([edit] * len(rows), settings)

    sample_pairs(model, drawing, batch(SOURCE), batch(TARGET), control)


def mask_based(model: LatentDiffusion, drawing: Drawing) -> None:
    inside = torch.ones(1, 1, 8, 8, dtype=torch.bool, device="cuda")
    sample_pairs(model, drawing, batch(SOURCE), batch(TARGET), lambda rows: KeepOutside(inside))


def masked(model: LatentDiffusion, drawing: Drawing, settings: Redraw, width: int = 16) -> None:
    pictures, mask = torch.zeros(1, 3, 16, width, dtype=torch.uint8), torch.ones(16, width, dtype=torch.bool)
    windows = None if width == 16 else [(slice(0, 8), slice(0, 8)), (slice(0, 8), slice(4, 12))]
    redraw(model, drawing, pictures, mask, batch(TARGET), settings, windows)


def inverted(model: LatentDiffusion, drawing: Drawing) -> None:
    steps = drawing.sampler.steps
    latents = torch.zeros(1, 4, 8, 8, device="cuda")
    uncond = conditions(model, drawing.guidance, Subject(batch("")), [0]).cond
    found = Inverted([latents] * (steps + 1), [uncond] * steps, corrects_source=True, corrects_target=True)
    draw_inverted(model, drawing, (SOURCE, TARGET), found, Uncontrolled())


WAYS: dict[str, Callable[[LatentDiffusion, Drawing], None]] = {
    "plain": plain,
    "observed": observed,
    "prompt-to-prompt": prompt_to_prompt,
    "mask-based": mask_based,
    "masked": partial(masked, settings=Redraw()),
    "resampled": partial(masked, settings=Redraw(resample=2, jump=3)),
    "part of the way, in windows": partial(masked, settings=Redraw(strength=0.5), width=24),
    "inverted": inverted,
}


@pytest.fixture
def gpu(model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch) -> Iterator[LatentDiffusion]:
    """The model on a fake GPU. What it decodes has no values to look at, and levels, which are read, keep theirs."""
    part = Level.__getitem__

    def real(level: Level, index: Any) -> Level:
        with unset_fake_temporarily():
            return part(level, index)

    monkeypatch.setattr(Level, "__getitem__", real)
    monkeypatch.setattr(LatentDiffusion, "decode", lambda self, x: torch.zeros(len(x), 3, 16, 16, device=x.device))
    monkeypatch.setattr("ldmlab.samplers.noise.AHEAD", 64)
    own = copy.deepcopy(model)
    with fake_gpu():
        yield own.to("cuda")


LIKE_OTHERS = ("plain", "masked", "part of the way, in windows", "mask-based")
"""Ways most of whose lines others draw by too: these are slow tests."""


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[pytest.mark.slow] if way in LIKE_OTHERS else []) for way in WAYS]
)
def test_more_steps_make_no_more_copies(way: str, gpu: LatentDiffusion) -> None:
    seen = []
    for steps in (1, 2, 3):  # the first to warm up: tables go to a device when they are first asked for there
        drawing = Drawing(sampler := DDPM(steps), ClassifierFree(2.0), [0, 1], batch_size=2)
        with unset_fake_temporarily():
            levels = sampler.levels(gpu.denoiser.schedule)
        sampler.levels = lambda schedule, levels=levels: levels  # type: ignore[method-assign]
        with Copies() as copies:
            WAYS[way](gpu, drawing)
        seen.append(copies.seen)
    assert seen[1] == seen[2]
    assert any("['cpu'] -> ['cuda']" in each for each in seen[1])
    assert any("['cuda'] -> ['cpu']" in each for each in seen[1])
