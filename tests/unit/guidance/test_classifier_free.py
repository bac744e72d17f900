"""Classifier-free guidance: conventions, passes, rescaling, and who sees the control."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.types import Conditioning, Estimate, Level

from .fakes import COND, LEVEL, UNCOND, Denoiser, X


def estimates() -> tuple[Tensor, Tensor]:
    return Denoiser().estimate(X, LEVEL, COND).denoised, Denoiser().estimate(X, LEVEL, UNCOND).denoised


def test_scale_one_is_neutral_and_one_pass() -> None:
    denoiser = Denoiser()
    assert torch.equal(ClassifierFree(1).bind(denoiser, COND, UNCOND)(X, LEVEL), estimates()[0])
    assert denoiser.calls == [(3, None)]


def test_scale_zero_is_unconditional() -> None:
    torch.testing.assert_close(ClassifierFree(0.0).bind(Denoiser(), COND, UNCOND)(X, LEVEL), estimates()[1])


def test_levels_of_single_samples_reach_both_halves() -> None:
    """A level a sample, as in training: the estimate depends on it."""

    class Leveled(Denoiser):
        def estimate(self, x: Tensor, level: Level, cond: Conditioning, control: Any = None) -> Estimate:
            alpha, sigma = level.like(x)
            assert cond.vector is not None
            return Estimate(alpha * x + sigma * cond.vector[:, :, None, None])

    denoiser = Leveled()
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
        def estimate(self, x: Tensor, level: Level, cond: Conditioning, control: Any = None) -> Estimate:
            found = super().estimate(x, level, cond)
            return Estimate(torch.zeros_like(found.denoised)) if control else found

    found = ClassifierFree(3.0).bind(Zeroing(), COND, UNCOND, object())(X, LEVEL)
    torch.testing.assert_close(found, -2 * estimates()[1])


@pytest.mark.parametrize("guidance", [NoGuidance(), ClassifierFree(1.0)])
def test_a_control_passes_through_without_guidance(guidance: Any) -> None:
    denoiser, control = Denoiser(), object()
    guidance.bind(denoiser, COND, None, control)(X, LEVEL)
    assert denoiser.calls == [(3, control)]


def test_without_a_null_condition() -> None:
    for cond, uncond in ((COND, None), (Conditioning(), Conditioning())):
        with pytest.raises(ValueError, match="guidance=classifier_free: needs a condition and a null condition"):
            ClassifierFree(2.0).bind(Denoiser(), cond, uncond)


@pytest.mark.parametrize("scale", [-1.0, float("nan")])
def test_bad_scale(scale: float) -> None:
    with pytest.raises(ValueError, match=r"guidance.scale=.*: the scale must be at least 0"):
        ClassifierFree(scale)


@pytest.mark.parametrize("w", [0.0, 1.5, 7.5])
def test_the_lectures_convention(w: float) -> None:
    """(1 + w) cond - w uncond; w = 7.5 is scale 8.5."""
    cond, uncond = estimates()
    found = ClassifierFree(w, convention="one_plus_w").bind(Denoiser(), COND, UNCOND)(X, LEVEL)
    torch.testing.assert_close(found, (1 + w) * cond - w * uncond)
    with pytest.raises(ValueError, match=r"guidance.convention=w: choose one of scale, one_plus_w"):
        ClassifierFree(w, convention="w")
    with pytest.raises(ValueError, match=r"guidance.scale=-1.5: the scale must be at least -1 \(0 is neutral\)"):
        ClassifierFree(-1.5, convention="one_plus_w")


def test_rescaling_brings_the_contrast_back() -> None:
    """Lin et al. 2024, eq. 15-16, picture by picture."""
    cond, uncond = estimates()
    guided = uncond + 6 * (cond - uncond)
    found = ClassifierFree(6.0, rescale=0.7).bind(Denoiser(), COND, UNCOND)(X, LEVEL)
    for row in range(3):
        full = guided[row] * cond[row].std() / guided[row].std()
        torch.testing.assert_close(found[row], 0.7 * full + 0.3 * guided[row])
    whole = ClassifierFree(6.0, rescale=1.0).bind(Denoiser(), COND, UNCOND)(X, LEVEL)
    torch.testing.assert_close(whole.std(dim=(1, 2, 3)), cond.std(dim=(1, 2, 3)))
    with pytest.raises(ValueError, match=r"guidance.rescale=2"):
        ClassifierFree(6.0, rescale=2)


def test_guided_channels_leaves_the_others_conditional() -> None:
    cond, uncond = estimates()
    found = ClassifierFree(3.0, guided_channels=1).bind(Denoiser(), COND, UNCOND)(X, LEVEL)
    torch.testing.assert_close(found[:, 0], (uncond + 3 * (cond - uncond))[:, 0])
    torch.testing.assert_close(found[:, 1], cond[:, 1])
    with pytest.raises(ValueError, match=r"guidance.guided_channels=0"):
        ClassifierFree(3.0, guided_channels=0)
    with pytest.raises(ValueError, match=r"guidance.guided_channels=9: the latents have 2 channels"):
        ClassifierFree(3.0, guided_channels=9).bind(Denoiser(), COND, UNCOND)(X, LEVEL)


@pytest.mark.parametrize("control", [None, object()])
def test_the_variance_is_that_of_the_conditional_pass(control: Any) -> None:
    guided = ClassifierFree(3.0).bind(Denoiser(learns_variance=True), COND, UNCOND, control)
    denoised, mix = guided.with_variance(X, LEVEL)
    torch.testing.assert_close(denoised, guided(X, LEVEL))
    torch.testing.assert_close(mix, Denoiser(learns_variance=True).estimate(X, LEVEL, COND).variance_mix)
    with pytest.raises(ValueError, match=r"sampler.variance=learned: this model learned no variance"):
        ClassifierFree(3.0).bind(Denoiser(), COND, UNCOND).with_variance(X, LEVEL)


def test_conditions_of_different_lengths_take_two_passes() -> None:
    def context(length: int) -> Conditioning:
        return Conditioning(torch.zeros(3, length, 4), None, COND.vector)

    denoiser = Denoiser()
    ClassifierFree(3.0).bind(denoiser, context(5), context(2))(X, LEVEL)
    assert denoiser.calls == [(3, None), (3, None)]
