"""Null conditions that keep guidance on the trajectory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest
import torch

from ldmlab.editing.inversion.base import InversionTask, Inverted
from ldmlab.editing.inversion.ddim import DDIMInversion
from ldmlab.editing.inversion.null_text import NullText
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.interval import Interval
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.first_order import first_order
from ldmlab.types import Conditioning


def error(task: InversionTask, inverted: Inverted) -> float:
    """Mean squared distance from the latents to where guidance leads from the inverted noise."""
    x, steps = inverted.trajectory[0], len(task.levels) - 1
    unconds = inverted.unconds or [task.conditions.uncond] * steps
    with torch.no_grad():
        for index, uncond in enumerate(unconds):
            denoise = task.guidance.bind(task.denoiser, task.conditions.cond, uncond)
            x = first_order(x, denoise(x, task.levels[index]), task.levels[index], task.levels[index + 1])
    return float((x - task.latents).square().mean())


def test_it_takes_away_most_of_the_error_of_guidance(
    model: LatentDiffusion, inversion_task: Callable[..., InversionTask]
) -> None:
    task = inversion_task(model)
    plain = error(task, DDIMInversion().invert(task))
    assert error(task, NullText(inner_steps=10, learning_rate=0.05).invert(task)) < plain / 2


def test_it_knows_of_a_rescaled_guidance(dit: LatentDiffusion, inversion_task: Callable[..., InversionTask]) -> None:
    task = inversion_task(dit, ClassifierFree(7.5, rescale=0.7))
    plain = error(task, DDIMInversion().invert(task))
    assert error(task, NullText(inner_steps=10, learning_rate=0.05).invert(task)) < plain / 2


def test_embeddings_alone_are_sought_one_a_step_and_nothing_else_is_touched(
    model: LatentDiffusion, inversion_task: Callable[..., InversionTask]
) -> None:
    task = inversion_task(model)
    assert task.conditions.uncond is not None
    before = task.conditions.uncond.map(torch.clone)
    state = {name: value.clone() for name, value in model.denoiser.state_dict().items()}
    unconds = NullText(inner_steps=2).invert(task).unconds
    assert unconds is not None
    assert len(unconds) == len(task.levels) - 1
    assert len({tuple(each.context.flatten().tolist()) for each in unconds if each.context is not None}) == len(unconds)
    for uncond in unconds:
        assert not torch.equal(_some(uncond.context), _some(before.context))
        assert not torch.equal(_some(uncond.vector), _some(before.vector))
        assert torch.equal(_some(uncond.context_mask), _some(before.context_mask))
        assert not any(getattr(uncond, field.name).requires_grad for field in fields(uncond) if field.name != "concat")
    assert torch.equal(_some(task.conditions.uncond.context), _some(before.context))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, state[name]) for name, value in model.denoiser.state_dict().items())


def test_a_step_that_is_near_enough_is_left_alone(
    dit: LatentDiffusion, inversion_task: Callable[..., InversionTask]
) -> None:
    task = inversion_task(dit)
    unconds = NullText(tolerance=1e6).invert(task).unconds
    assert unconds is not None
    assert all(torch.equal(_some(each.context), _some(task.conditions.uncond.context)) for each in unconds)


def test_the_first_optimiser_step_is_adams(dit: LatentDiffusion, inversion_task: Callable[..., InversionTask]) -> None:
    """Adam's first step is the learning rate against the gradient's sign, which falls with the share of the steps."""
    task = inversion_task(dit)
    unconds = NullText(inner_steps=1, learning_rate=0.02, tolerance=0, tolerance_growth=0).invert(task).unconds
    assert unconds is not None
    steps, vectors = len(unconds), [_some(each.vector) for each in [task.conditions.uncond, *unconds]]
    for index in range(steps):
        moved = (vectors[index + 1] - vectors[index]).abs().max()
        torch.testing.assert_close(moved, torch.tensor(0.02 * (1 - index / (2 * steps))), rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("guidance", "told"),
    [
        (NoGuidance(), "guidance=none has none; use guidance=classifier_free or inversion=ddim"),
        (ClassifierFree(1.0), "a neutral guidance.scale leaves out"),
        (Interval(4.0, 0.1, 5.0), "guidance=interval uses the null condition at some steps only"),
    ],
    ids=["none", "neutral", "interval"],
)
def test_guidance_without_a_null_condition_to_replace(
    dit: LatentDiffusion,
    inversion_task: Callable[..., InversionTask],
    guidance: NoGuidance | ClassifierFree,
    told: str,
) -> None:
    with pytest.raises(ValueError, match=f"inversion=null_text: .*{told}"):
        NullText().invert(inversion_task(dit, guidance))


def test_autoguidance_has_no_null_condition(dit: LatentDiffusion, inversion_task: Callable[..., InversionTask]) -> None:
    with pytest.raises(ValueError, match=r"inversion=null_text: .*guidance=autoguidance has none"):
        NullText().invert(inversion_task(dit, Autoguidance(2.0, dit.denoiser, dit.conditioner)))


@pytest.mark.parametrize(
    ("argument", "value"),
    [("inner_steps", 0), ("learning_rate", 0.0), ("learning_rate", float("nan")), ("tolerance", -1.0),
     ("tolerance_growth", -1.0), ("iterations", 0)],
)  # fmt: skip
def test_bad_arguments(argument: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"inversion.{argument}={value}: "):
        NullText(**{argument: value})  # type: ignore[arg-type]


def _some(field: torch.Tensor | None) -> torch.Tensor:
    assert field is not None
    return field


def test_a_condition_of_one_vector(dit: LatentDiffusion) -> None:
    """As class labels give: what is absent stays absent."""
    step = _Towards(torch.full((1, 3), 0.5))
    fitted = NullText(inner_steps=200, tolerance=0)._fit(
        step,
        Conditioning(vector=torch.zeros(1, 3)),
        torch.zeros(1, 3),
        0.0,  # type: ignore[arg-type]
    )
    assert fitted.context is None
    torch.testing.assert_close(_some(fitted.vector), torch.full((1, 3), 0.5), rtol=0, atol=0.02)


def test_a_step_through_a_network_in_fp16_is_learned_from() -> None:
    """A value of 2^18 has so small a share of the mean squared distance that fp16 holds nothing as small."""

    def step(uncond: Conditioning) -> torch.Tensor:
        return _some(uncond.vector).half().expand(1, 2**18).float()

    fitted = NullText(inner_steps=1, learning_rate=1e-3, tolerance=0)._fit(
        step,  # type: ignore[arg-type]
        Conditioning(vector=torch.full((1, 1), 1e-3)),
        torch.zeros(1, 2**18),
        0.0,
    )
    torch.testing.assert_close(_some(fitted.vector), torch.zeros(1, 1), rtol=0, atol=1e-5)


class _Towards:
    """A step that is where it should be at one vector."""

    def __init__(self, vector: torch.Tensor) -> None:
        self.vector = vector

    def __call__(self, uncond: Conditioning) -> torch.Tensor:
        return _some(uncond.vector) - self.vector
