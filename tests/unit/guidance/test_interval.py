"""Guidance at some levels: which levels, and how many passes."""

from __future__ import annotations

import pytest
import torch

from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.interval import Interval
from ldmlab.guidance.none import NoGuidance
from ldmlab.types import Level

from .fakes import COND, UNCOND, Denoiser, X


def at(ratio: float) -> Level:
    alpha = 1 / (1 + ratio**2) ** 0.5
    return Level(torch.tensor(alpha), torch.tensor(ratio * alpha))


@pytest.mark.parametrize(("ratio", "guided"), [(0.1, False), (0.4, True), (1.9, True), (2.5, False)])
def test_one_pass_outside_and_two_inside(ratio: float, guided: bool) -> None:
    denoiser = Denoiser()
    found = Interval(3.0, low=0.2, high=2.0).bind(denoiser, COND, UNCOND)(X, at(ratio))
    other = ClassifierFree(3.0) if guided else NoGuidance()
    torch.testing.assert_close(found, other.bind(Denoiser(), COND, UNCOND)(X, at(ratio)))
    assert denoiser.calls == [(6 if guided else 3, None)]


def test_without_limits_it_is_classifier_free_guidance_up_to_pure_noise() -> None:
    noise = Level(torch.tensor(0.0), torch.tensor(1.0))
    found = Interval(3.0).bind(Denoiser(), COND, UNCOND)(X, noise)
    torch.testing.assert_close(found, ClassifierFree(3.0).bind(Denoiser(), COND, UNCOND)(X, noise))
    limited = Interval(3.0, high=5.0).bind(Denoiser(), COND, UNCOND)(X, noise)
    torch.testing.assert_close(limited, NoGuidance().bind(Denoiser(), COND)(X, noise))


def test_levels_of_single_samples_are_judged_one_by_one() -> None:
    levels = Level(torch.tensor([0.99, 0.7, 0.1]), torch.tensor([0.1, 0.7, 0.99]))
    interval = Interval(3.0, low=0.5, high=2.0)
    together = interval.bind(Denoiser(), COND, UNCOND)(X, levels)
    for row in range(3):
        part = slice(row, row + 1)
        alone = interval.bind(Denoiser(), COND[part], UNCOND[part])(X[part], levels[row])
        torch.testing.assert_close(together[part], alone)


def test_the_options_of_classifier_free_guidance_hold_inside() -> None:
    interval = Interval(2.0, 0.0, 9.0, "one_plus_w", 0.5, 1).bind(Denoiser(), COND, UNCOND)
    other = ClassifierFree(2.0, "one_plus_w", 0.5, 1).bind(Denoiser(), COND, UNCOND)
    torch.testing.assert_close(interval(X, at(1.0)), other(X, at(1.0)))


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (-1.0, 1.0), (1.0, 1.0), (float("nan"), 1.0)])
def test_empty_intervals(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=r"guidance.low=.*, guidance.high=.*: give 0 <= low < high"):
        Interval(3.0, low, high)
