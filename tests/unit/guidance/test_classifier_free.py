"""Classifier-free guidance: conventions, passes, and who sees the control."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.types import Conditioning, Level


class Denoiser:
    """Estimates x plus the condition's vector, and remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Any]] = []

    def __call__(self, x: Tensor, level: Level, cond: Conditioning, control: Any = None) -> Tensor:
        self.calls.append((len(x), control))
        assert cond.vector is not None
        return x + cond.vector[:, :, None, None]


X = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
LEVEL = Level(torch.tensor(0.6), torch.tensor(0.8))
COND = Conditioning(vector=torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
UNCOND = Conditioning(vector=torch.tensor([[-1.0, 0.5]]).expand(3, 2))


def estimates() -> tuple[Tensor, Tensor]:
    return Denoiser()(X, LEVEL, COND), Denoiser()(X, LEVEL, UNCOND)


def test_scale_one_is_neutral_and_one_pass() -> None:
    denoiser = Denoiser()
    assert torch.equal(ClassifierFree(1).bind(denoiser, COND, UNCOND)(X, LEVEL), estimates()[0])
    assert denoiser.calls == [(3, None)]


def test_scale_zero_is_unconditional() -> None:
    torch.testing.assert_close(ClassifierFree(0.0).bind(Denoiser(), COND, UNCOND)(X, LEVEL), estimates()[1])


def test_levels_of_single_samples_reach_both_halves() -> None:
    """A level a sample, as in training: the estimate depends on it."""

    def denoiser(x: Tensor, level: Level, cond: Conditioning, control: Any = None) -> Tensor:
        alpha, sigma = level.like(x)
        assert cond.vector is not None
        return alpha * x + sigma * cond.vector[:, :, None, None]

    levels = Level(torch.tensor([0.6, 0.8, 1.0]), torch.tensor([0.8, 0.6, 0.0]))
    together = ClassifierFree(3.0).bind(denoiser, COND, UNCOND)(X, levels)
    for row in range(3):
        part = slice(row, row + 1)
        alone = ClassifierFree(3.0).bind(denoiser, COND[part], UNCOND[part])(X[part], levels[row])
        torch.testing.assert_close(together[part], alone)


@pytest.mark.parametrize("scale", [0.5, 2.0, 8.5])
def test_formula_in_both_conventions(scale: float) -> None:
    cond, uncond = estimates()
    denoiser = Denoiser()
    found = ClassifierFree(scale).bind(denoiser, COND, UNCOND)(X, LEVEL)
    torch.testing.assert_close(found, uncond + scale * (cond - uncond))
    w = scale - 1
    torch.testing.assert_close(found, (1 + w) * cond - w * uncond)
    assert denoiser.calls == [(6, None)]


def test_under_control_two_passes_and_only_the_conditional_sees_it() -> None:
    denoiser, control = Denoiser(), object()
    found = ClassifierFree(3.0).bind(denoiser, COND, UNCOND, control)(X, LEVEL)
    torch.testing.assert_close(found, ClassifierFree(3.0).bind(Denoiser(), COND, UNCOND)(X, LEVEL))
    assert sorted(denoiser.calls, key=str) == sorted([(3, control), (3, None)], key=str)


def test_the_conditional_pass_is_the_controlled_one() -> None:
    class Zeroing(Denoiser):
        def __call__(self, x: Tensor, level: Level, cond: Conditioning, control: Any = None) -> Tensor:
            estimate = super().__call__(x, level, cond)
            return torch.zeros_like(estimate) if control else estimate

    found = ClassifierFree(3.0).bind(Zeroing(), COND, UNCOND, object())(X, LEVEL)
    torch.testing.assert_close(found, -2 * estimates()[1])


@pytest.mark.parametrize("guidance", [NoGuidance(), ClassifierFree(1.0)])
def test_a_control_passes_through_without_guidance(guidance: Any) -> None:
    denoiser, control = Denoiser(), object()
    guidance.bind(denoiser, COND, None, control)(X, LEVEL)
    assert denoiser.calls == [(3, control)]


def test_without_a_null_condition() -> None:
    with pytest.raises(ValueError, match="needs a null condition"):
        ClassifierFree(2.0).bind(Denoiser(), COND, None)


@pytest.mark.parametrize("scale", [-1.0, float("nan")])
def test_bad_scale(scale: float) -> None:
    with pytest.raises(ValueError, match=r"guidance.scale=.*: the scale must be at least 0"):
        ClassifierFree(scale)
