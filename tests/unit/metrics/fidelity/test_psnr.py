"""What pictures are told to have kept of the truth, and that one exact picture spoils no mean."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ldmlab.metrics.fidelity.psnr import PSNR, PooledPSNR, psnr
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


def test_standard_errors(truth: Tensor, generator: torch.Generator) -> None:
    """Of means as numpy has them; of the pooled ratio as by the bootstrap."""
    strength = torch.randint(1, 30, (12, 1, 1, 1), generator=generator)
    made = (truth + (torch.rand(truth.shape, generator=generator) * strength)).to(torch.uint8)
    metrics = PSNR(), PooledPSNR(), SSIM()
    for metric in metrics:
        for part, right in zip(made.split(5), truth.split(5), strict=True):
            metric.update(part, right)
    mean, pooled, similarity = (metric.errors() for metric in metrics)
    assert mean == {"PSNR": pytest.approx(float(psnr(made, truth).std()) / 12**0.5)}
    assert similarity == {"SSIM": pytest.approx(float(ssim(made, truth).std()) / 12**0.5)}
    squares = (made.double() - truth.double()).square().mean(dim=(1, 2, 3))
    drawn = squares[torch.randint(12, (4000, 12), generator=generator)].mean(dim=1)
    spread = float((10 * (255**2 / drawn).log10()).std()) * (12 / 11) ** 0.5
    assert pooled == {"PSNR": pytest.approx(spread, rel=0.25)}
    assert pooled["PSNR"] == pytest.approx(10 / math.log(10) * float(squares.std() / squares.mean()) / 12**0.5)


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
    assert math.isnan(metric.errors()["PSNR"])


def test_one_exact_picture_does_not_make_the_pooled_ratio_infinite(truth: Tensor) -> None:
    made = truth.clone()
    made[1:] += 7
    metric = PooledPSNR()
    metric.update(made, truth)
    assert metric.compute()["PSNR"] == pytest.approx(10 * math.log10(255**2 / (49 * 11 / 12)))
    metric = PooledPSNR()
    metric.update(truth, truth)
    assert math.isinf(metric.compute()["PSNR"])
    assert math.isnan(metric.errors()["PSNR"])


@pytest.mark.parametrize("kind", [PSNR, PooledPSNR, SSIM])
def test_floats_are_refused(kind: type[PSNR | PooledPSNR | SSIM], truth: Tensor) -> None:
    with pytest.raises(ValueError, match="uint8"):
        kind().update(truth.float(), truth)
