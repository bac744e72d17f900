"""What lies outside the masks, against the formulas written out in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch import Tensor

from ldmlab.metrics.editing.background import BackgroundMSE, BackgroundPSNR, BackgroundSSIM
from ldmlab.metrics.editing.base import EditMetric

COUNT, SIDE = 4, 40


@pytest.fixture(scope="module")
def edits() -> dict[str, Tensor]:
    """Three edits, of which the last may change every pixel, and one that changed nothing outside."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 256, (COUNT, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    images = (truth.int() + torch.randint(-30, 31, truth.shape, generator=generator)).clamp(0, 255).to(torch.uint8)
    mask = torch.zeros(COUNT, SIDE, SIDE, dtype=torch.bool)
    for number in range(COUNT):
        mask[number, 3 : 20 + number, 8:30] = True
    mask[2] = True
    images[3] = torch.where(mask[3], images[3], truth[3])
    return {"images": images, "truth": truth, "mask": mask}


def black_inside(edits: dict[str, Tensor]) -> list[tuple[np.ndarray, np.ndarray]]:
    keep = ~edits["mask"].numpy()[:, None]
    both = [edits[name].numpy().astype(np.float64) / 255 * keep for name in ("images", "truth")]
    return list(zip(*both, strict=True))


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Wang et al. 2004 at every pixel, with the border mirrored, for channels in [0, 1]."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def local(values: np.ndarray) -> np.ndarray:
        rows = correlate1d(values, window, axis=1, mode="mirror")
        return np.asarray(correlate1d(rows, window, axis=2, mode="mirror"))

    one, other = local(first), local(second)
    spread = local(first**2) - one**2 + local(second**2) - other**2
    together = local(first * second) - one * other
    maps = (2 * one * other + 0.01**2) * (2 * together + 0.03**2)
    return float((maps / ((one**2 + other**2 + 0.01**2) * (spread + 0.03**2))).mean())


def measured(metric: EditMetric, edits: dict[str, Tensor]) -> list[float]:
    """Of each edit, given in two batches."""
    for part in (slice(0, 3), slice(3, None)):
        metric.update(**{name: values[part] for name, values in edits.items()})
    return metric.of_each[:, 0].tolist()


def test_mean_squared_error_goes_over_all_pixels(edits: dict[str, Tensor]) -> None:
    found = measured(BackgroundMSE(), edits)
    wanted = [float(((first - second) ** 2).mean()) for first, second in black_inside(edits)]
    assert found[:2] == pytest.approx(wanted[:2], rel=1e-12)
    assert math.isnan(found[2])
    assert found[3] == 0


def test_peak_signal_to_noise_ratio(edits: dict[str, Tensor]) -> None:
    metric = BackgroundPSNR()
    found = measured(metric, edits)
    wanted = [10 * math.log10(1 / ((first - second) ** 2).mean()) for first, second in black_inside(edits)[:2]]
    assert found[:2] == pytest.approx(wanted, rel=1e-12)
    assert math.isnan(found[2])
    assert found[3] == math.inf
    assert metric.compute() == {"PSNR": pytest.approx(sum(wanted) / 2)}
    assert metric.errors() == {"PSNR": pytest.approx(abs(wanted[0] - wanted[1]) / 2)}  # s / sqrt(2) of two values
    assert metric.remarks() == ["PSNR: 1 of 3 edits are exact, and left out of the mean"]


def test_structural_similarity(edits: dict[str, Tensor]) -> None:
    found = measured(BackgroundSSIM(), edits)
    wanted = [ssim(first, second) for first, second in black_inside(edits)]
    assert found[:2] == pytest.approx(wanted[:2], rel=1e-9)
    assert math.isnan(found[2])
    assert found[3] == pytest.approx(1)


def test_what_changes_inside_the_mask_does_not_count(edits: dict[str, Tensor]) -> None:
    inside = {**edits, "images": torch.where(edits["mask"][:, None], 255 - edits["images"], edits["images"])}
    for kind in (BackgroundMSE, BackgroundPSNR, BackgroundSSIM):
        assert measured(kind(), inside) == pytest.approx(measured(kind(), edits), nan_ok=True)


def test_nothing_is_told_of_edits_that_may_change_everything(edits: dict[str, Tensor]) -> None:
    metric = BackgroundMSE()
    metric.update(**{name: values[2:3] for name, values in edits.items()})
    assert (metric.compute(), metric.errors(), metric.remarks()) == ({}, {}, [])
