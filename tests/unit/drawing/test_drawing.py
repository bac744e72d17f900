"""The value that says how pictures are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.conditioners.none import NoCondition
from ldmlab.drawing.drawing import Drawing
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM


def how(guidance: Guidance, variance: str = "fixed_small", seeds: Sequence[int] = (0, 1)) -> Drawing:
    return Drawing(DDPM(steps=2, variance=variance), guidance, seeds)


@pytest.mark.parametrize(
    ("device", "grid", "rows"), [("cpu", 8, 8), ("cpu", 16, 8), ("cpu", 32, 1), ("cuda", 8, 5), ("cuda", 32, 5)]
)
def test_a_cpu_draws_the_same_number_at_once_and_a_gpu_what_it_is_told(device: str, grid: int, rows: int) -> None:
    model: Any = SimpleNamespace(device=torch.device(device), latent_shape=(4, grid, grid))
    assert Drawing(DDIM(3), NoGuidance(), [0], batch_size=5).rows(model) == rows


@pytest.mark.parametrize(
    ("device", "compiled", "fills"), [("cpu", False, True), ("cuda", False, False), ("cuda", True, True)]
)
def test_programs_and_a_cpu_draw_full_batches(device: str, compiled: bool, fills: bool) -> None:
    model: Any = SimpleNamespace(device=torch.device(device))
    assert Drawing(DDIM(3), NoGuidance(), [0], compiled=compiled).fills(model) is fills


def test_the_same_for_other_pictures() -> None:
    drawing = Drawing(DDIM(3), ClassifierFree(2.0), [1, 2], batch_size=7)
    other = drawing.of([5])
    assert (drawing.seeds, other.seeds) == ([1, 2], [5])
    assert (other.sampler, other.guidance, other.batch_size) == (drawing.sampler, drawing.guidance, 7)


def test_what_cannot_be_drawn_is_refused_without_a_pass(
    make_model: Callable[[Conditioner], LatentDiffusion], monkeypatch: pytest.MonkeyPatch
) -> None:
    unconditional, classes = make_model(NoCondition()), make_model(ClassLabel(3, 16, null_class=False))
    for made in (unconditional, classes):
        monkeypatch.setattr(made.denoiser, "estimate", None)
    with pytest.raises(ValueError, match="use guidance=none"):
        how(ClassifierFree(2.0)).check(unconditional, {})
    how(NoGuidance()).check(unconditional, {})
    how(ClassifierFree(1.0)).check(unconditional, {})
    with pytest.raises(ValueError, match=r"sampler\.variance=learned"):
        how(NoGuidance(), "learned").check(unconditional, {})
    with pytest.raises(ValueError, match=r"no row for 'no class'.*use guidance=none"):
        how(ClassifierFree(2.0)).check(classes, {"labels": [0, 2]})
    with pytest.raises(ValueError, match="lies outside"):
        how(NoGuidance()).check(classes, {"labels": [0, 3]})
    how(NoGuidance(), seeds=[0]).check(classes, {"labels": [0, 3]})  # of as many as there are seeds
