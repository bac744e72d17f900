"""A run of a sampler, and the order of what happens beside its steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.drawing.conditions import Conditions
from ldmlab.drawing.sampling_plan import SamplingPlan
from ldmlab.guidance.base import GuidedDenoiser
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.samplers.base import SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.heun import Heun
from ldmlab.types import Conditioning, Estimate, Level, Uncontrolled

SCALE = 2.0


def said(value: float) -> Conditioning:
    return Conditioning(vector=torch.full((1, 1), value))


class Saying:
    """A denoiser that estimates what it is told, and notes whether a control saw it."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, Any]] = []

    def estimate(self, x: Tensor, level: Level, cond: Conditioning, control: Any = None) -> Estimate:
        assert cond.vector is not None
        self.seen += [(float(row), control) for row in cond.vector[:, 0]]
        return Estimate(cond.vector[:, :, None, None].expand(-1, *x.shape[1:]))


@pytest.fixture
def plan() -> SamplingPlan:
    """Three steps towards 1, away from 0."""
    sampler = DDIM(3)
    return SamplingPlan(
        rows=[0],
        denoiser=Saying(),  # type: ignore[arg-type]
        guidance=ClassifierFree(SCALE),
        conditions=[Conditions(said(1.0), said(0.0))],
        sampler=sampler,
        levels=sampler.levels(scaled_linear()),
        x=torch.ones(1, 1, 2, 2),
        hooks=SamplerHooks(),
    )


def test_the_last_step_ends_with_what_guidance_makes_of_the_conditions(plan: SamplingPlan) -> None:
    torch.testing.assert_close(plan.run(), torch.full((1, 1, 2, 2), SCALE))
    unguided = replace(plan, guidance=NoGuidance(), conditions=[Conditions(said(1.0))])
    torch.testing.assert_close(unguided.run(), torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize("sampler", [DDIM(3), Heun(3)], ids=["ddim", "heun"])
def test_conditions_of_each_step_are_those_of_the_step_that_is_made(plan: SamplingPlan, sampler: Any) -> None:
    """Heun's second estimate of a step is at the next level, and still of this step."""
    each = [Conditions(said(1.0), said(float(10 + step))) for step in range(3)]
    denoiser = Saying()
    replace(plan, sampler=sampler, conditions=each, denoiser=denoiser).run()  # type: ignore[arg-type]
    away = [value for value, _ in denoiser.seen if value >= 10]
    assert sorted(set(away)) == away[:: (len(away) + 2) // 3] == [10, 11, 12]
    assert away == sorted(away)


def test_a_control_sees_the_conditional_passes_and_what_hooks_make_of_x(plan: SamplingPlan) -> None:
    order: list[tuple[str, int, float]] = []

    class Clock(Uncontrolled):
        def before_step(self, step: int) -> None:
            order.append(("control before", step, 0.0))

        def after_step(self, step: int, latents: Tensor) -> Tensor:
            order.append(("control after", step, float(latents.max())))
            return latents + 1

    def after_step(step: int, x: Tensor) -> Tensor:
        order.append(("hook after", step, 0.0))
        return torch.full_like(x, 5.0)

    hooks = SamplerHooks(lambda step: order.append(("hook before", step, 0.0)), after_step)
    clock = Clock()
    ruled = replace(
        plan, hooks=hooks, control=clock, on_step=lambda step, x: order.append(("told", step, float(x.max())))
    )
    out = ruled.run()
    assert order[:5] == [("hook before", 0, 0.0), ("control before", 0, 0.0), ("hook after", 0, 0.0),
                         ("control after", 0, 5.0), ("told", 0, 6.0)]  # fmt: skip
    assert [step for _, step, _ in order] == [0] * 5 + [1] * 5 + [2] * 5
    assert float(out.max()) == 6
    denoiser: Any = plan.denoiser
    assert {(value, control is clock) for value, control in denoiser.seen} == {(1.0, True), (0.0, False)}


def test_an_observer_looks_on_and_has_no_say(plan: SamplingPlan) -> None:
    class Onlooker(Uncontrolled):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def before_step(self, step: int) -> None:
            self.steps.append(step)

        def after_step(self, step: int, latents: Tensor) -> Tensor:
            raise AssertionError("an observer has no say")

    onlooker, denoiser = Onlooker(), Saying()
    plain = plan.run()
    watched = replace(plan, denoiser=denoiser).observed(onlooker)  # type: ignore[arg-type]
    assert torch.equal(watched.run(), plain)
    assert onlooker.steps == [0, 1, 2]
    assert [(value, control is onlooker) for value, control in denoiser.seen] == [
        (1.0, True), (1.0, False), (0.0, False)
    ] * 3  # fmt: skip


def test_what_is_put_around_is_around_what_is_guided(plan: SamplingPlan) -> None:
    def halved(denoise: GuidedDenoiser) -> GuidedDenoiser:
        return GuidedDenoiser(lambda x, level: Estimate(denoise(x, level) / 2))

    torch.testing.assert_close(replace(plan, around=halved).run(), torch.full((1, 1, 2, 2), SCALE / 2))
