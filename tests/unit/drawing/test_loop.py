"""The loop: what is drawn at once, what a plan begins with, and what a change of it makes of the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.drawing.conditions import Subject
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.loop import draw
from ldmlab.drawing.sampling_plan import SamplingPlan
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.noise import PictureNoise


class Straight(Sampler):
    """Goes nowhere, so that what is drawn is what it starts from, and notes that."""

    def __init__(self) -> None:
        super().__init__(steps=1)
        self.starts: list[Tensor] = []

    def step(self, denoise: Any, x: Tensor, level: Any, next_level: Any, hooks: Any) -> Tensor:
        self.starts.append(x)
        return x


def subjects(captions: Sequence[str], *starts: int, count: int) -> list[Subject]:
    return [Subject({"captions": list(captions[start : start + count])}) for start in starts]


@pytest.mark.parametrize(("sides", "guidance", "at_once"), [(1, NoGuidance(), 8), (2, NoGuidance(), 4),
                                                            (2, ClassifierFree(2.0), 8)])  # fmt: skip
def test_passes_have_one_size_whatever_is_drawn(
    sides: int, guidance: Any, at_once: int, model: LatentDiffusion, captions: list[str]
) -> None:
    plans: list[SamplingPlan] = []
    sampler = Straight()
    asked = subjects(captions, *range(sides), count=9)
    pictures = draw(model, Drawing(sampler, guidance, range(9)), asked, lambda plan: plans.append(plan) or plan)
    assert [shown.shape for shown in pictures] == [(9, 3, 16, 16)] * sides
    assert {len(plan.x) for plan in plans} == {at_once * sides}
    numbers = [*range(9)] + [8] * (-9 % at_once)
    assert [list(plan.rows) for plan in plans] == [
        numbers[start : start + at_once] for start in range(0, len(numbers), at_once)
    ]
    noise = torch.cat([plan.x[:at_once] for plan in plans])
    assert torch.equal(noise, PictureNoise(numbers, model.latent_shape).draw())
    assert all(torch.equal(side, plan.x[:at_once]) for plan in plans for side in plan.x.chunk(sides))


def test_step_noise_is_that_of_the_seed_for_both_of_a_pair(model: LatentDiffusion, captions: list[str]) -> None:
    drawn: list[Tensor] = []

    def change(plan: SamplingPlan) -> SamplingPlan:
        drawn.extend([plan.x, plan.hooks.step_noise(plan.x), plan.hooks.step_noise(plan.x)])
        return plan

    draw(model, Drawing(Straight(), ClassifierFree(2.0), [3]), subjects(captions, 0, 1, count=1), change)
    noise = PictureNoise([3] * 8, model.latent_shape)
    for x in drawn:
        assert torch.equal(x, torch.cat([noise.draw()] * 2))


def test_a_canvas_is_decoded_picture_by_picture_without_what_fills_up(
    model: LatentDiffusion, captions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda latents: seen.append(latents) or decode(latents))
    drawing = Drawing(sampler := Straight(), NoGuidance(), [1, 2])
    (pictures,) = draw(model, drawing, subjects(captions, 0, count=2), latent_shape=(4, 8, 12))
    assert pictures.shape == (2, 3, 16, 24)
    assert [len(x) for x in sampler.starts] == [8]
    assert [len(latents) for latents in seen] == [1, 1]
    assert torch.equal(torch.cat(seen), sampler.starts[0][:2])


def test_fewer_at_once_are_not_filled_up_to_more(model: LatentDiffusion, captions: list[str]) -> None:
    drawing = Drawing(sampler := Straight(), NoGuidance(), [1, 2])
    first, second = draw(model, drawing, subjects(captions, 0, 2, count=2), at_once=1)
    assert [len(x) for x in sampler.starts] == [2, 2]
    assert torch.equal(first, second)  # the same noise, and nothing made of it
    assert not torch.equal(first[0], first[1])


def test_a_gpu_draws_as_many_as_it_is_told_and_fills_nothing_up(model: LatentDiffusion, captions: list[str]) -> None:
    """A stand-in for one: the loop goes by where the model says that it is."""
    parts = {name: getattr(model, name) for name in ("conditioner", "denoiser", "latent_shape")}
    elsewhere: Any = SimpleNamespace(
        **parts, device=torch.device("meta"), decode=lambda x: torch.zeros(len(x), 3, 2, 2)
    )
    drawing = Drawing(sampler := Straight(), ClassifierFree(2.0), range(7), batch_size=3)
    (pictures,) = draw(elsewhere, drawing, subjects(captions, 0, count=7))
    assert [len(x) for x in sampler.starts] == [3, 3, 1]
    assert pictures.device == torch.device("cpu")


def test_a_change_is_what_is_drawn(model: LatentDiffusion, captions: list[str]) -> None:
    wanted = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))

    def change(plan: SamplingPlan) -> SamplingPlan:
        assert len(plan.levels) == 4
        return replace(plan, sampler=Straight(), x=wanted.expand_as(plan.x))

    drawing = Drawing(DDIM(3), NoGuidance(), [0])
    (pictures,) = draw(model, drawing, subjects(captions, 0, count=1), change)
    assert torch.equal(pictures, model.decode(wanted.expand(8, -1, -1, -1))[:1])
