"""What pictures are told to have kept of the truth, and that one exact picture spoils no mean."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ldmlab.metrics.fidelity.psnr import PSNR, PooledPSNR
from ldmlab.metrics.fidelity.ssim import SSIM, ssim


@pytest.fixture
def truth(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 200, (12, 3, 16, 16), dtype=torch.uint8, generator=generator)


def test_figures_over_batches(truth: Tensor) -> None:
    metrics = PSNR(), PooledPSNR(), SSIM()
    for metric in metrics:
        for part in truth.split(5):
            metric.update(part + 5, part)
    mean, pooled, similarity = (metric.compute() for metric in metrics)
    expected = {"PSNR": pytest.approx(20 * math.log10(255 / 5))}
    assert mean == expected
    assert pooled == expected
    assert similarity == {"SSIM": pytest.approx(float(ssim(truth + 5, truth).mean()))}


def test_exact_reconstructions_are_counted_apart(truth: Tensor) -> None:
    """Blank pictures come back to the bit, and must not make the mean infinite."""
    made = truth + 5
    made[3:5] = truth[3:5]
    metric = PSNR()
    metric.update(made, truth)
    assert metric.compute() == {"PSNR": pytest.approx(20 * math.log10(255 / 5)), "exact": 2}
    metric = PSNR()
    metric.update(truth, truth)
    assert metric.compute() == {"PSNR": math.inf, "exact": 12}


def test_one_exact_picture_does_not_make_the_pooled_ratio_infinite(truth: Tensor) -> None:
    made = truth.clone()
    made[1:] += 7
    metric = PooledPSNR()
    metric.update(made, truth)
    assert metric.compute()["PSNR"] == pytest.approx(10 * math.log10(255**2 / (49 * 11 / 12)))
    metric = PooledPSNR()
    metric.update(truth, truth)
    assert math.isinf(metric.compute()["PSNR"])


@pytest.mark.parametrize("kind", [PSNR, PooledPSNR, SSIM])
def test_floats_are_refused(kind: type[PSNR | PooledPSNR | SSIM], truth: Tensor) -> None:
    with pytest.raises(ValueError, match="uint8"):
        kind().update(truth.float(), truth)
