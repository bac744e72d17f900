"""A control looks on, and the estimate is that of the guidance alone."""

from __future__ import annotations

import torch

from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.observed import observed

from .fakes import COND, LEVEL, UNCOND, Denoiser, X


def test_the_control_sees_a_pass_of_its_own_before_those_that_count() -> None:
    denoiser, control = Denoiser(learns_variance=True), object()
    plain = ClassifierFree(3.0).bind(denoiser, COND, UNCOND)
    wanted = plain.with_variance(X, LEVEL)
    denoiser.calls.clear()
    watched = observed(plain, denoiser, COND, control)  # type: ignore[arg-type]
    for found, expected in zip(watched.with_variance(X, LEVEL), wanted, strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(watched(X, LEVEL), wanted[0])
    assert denoiser.calls == [(3, control), (6, None)] * 2
