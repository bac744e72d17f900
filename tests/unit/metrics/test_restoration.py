"""Both sides of a restoration against the truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.metrics.reconstruction import ssim
from ldmlab.metrics.restoration import Trial, evaluate_restorations
from ldmlab.worlds.shapes.captions import caption
from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import random_scene


@pytest.fixture
def truth(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 200, (12, 3, 16, 16), dtype=torch.uint8, generator=generator)


def test_figures_of_both_sides(extractor: Any, truth: Tensor) -> None:
    drawn, naive = truth + 5, truth + 50
    trials = [Trial(*parts) for parts in zip(truth.split(5), drawn.split(5), naive.split(5), strict=True)]
    figures = evaluate_restorations(trials, extractor)
    names = {"PSNR", "SSIM", "FID-mean"}
    assert set(figures) == names | {f"naive/{name}" for name in names} | {"n"}
    assert figures["PSNR"] == pytest.approx(20 * math.log10(255 / 5))
    assert figures["naive/PSNR"] == pytest.approx(20 * math.log10(255 / 50))
    assert figures["SSIM"] == pytest.approx(float(ssim(drawn, truth).mean()))
    assert figures["FID-mean"] == pytest.approx(3 * (5 / 255) ** 2, rel=1e-4)
    assert figures["n"] == 12


def test_one_exact_picture_does_not_make_the_mean_infinite(extractor: Any, truth: Tensor) -> None:
    drawn = truth.clone()
    drawn[1:] += 7
    figures = evaluate_restorations([Trial(truth, drawn, truth)], extractor)
    assert figures["PSNR"] == pytest.approx(10 * math.log10(255**2 / (49 * 11 / 12)))
    assert math.isinf(figures["naive/PSNR"])


def test_drawn_scenes_are_read_on_both_sides(extractor: Any) -> None:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(4)]
    pictures = torch.from_numpy(np.stack([render(scene, 64) for scene in scenes])).permute(0, 3, 1, 2)
    asked = [caption(scene, rng)[1] for scene in scenes]
    figures = evaluate_restorations([Trial(pictures, pictures, pictures // 9, asked)], extractor)
    assert figures["accuracy/caption"] == 1
    assert figures["naive/accuracy/caption"] == 0


def test_floats_are_refused(extractor: Any, truth: Tensor) -> None:
    with pytest.raises(ValueError, match="uint8"):
        evaluate_restorations([Trial(truth, truth.float(), truth)], extractor)
