"""sFID is the Frechet distance of spatial features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution.spatial_frechet import SpatialFrechetDistance
from ldmlab.metrics.feed import Feed
from ldmlab.metrics.measured import measured

from ....colours import Colours


def by_numpy(real: torch.Tensor, fake: torch.Tensor) -> float:
    """The distance of mean colours in four quarters, in float64."""
    quarters = [
        np.stack([images[..., y : y + 8, x : x + 8].numpy().mean(axis=(2, 3)) for y in (0, 8) for x in (0, 8)], axis=2)
        for images in (real, fake)
    ]
    one, other = (each.reshape(len(each), -1) / 255 for each in quarters)
    covariances = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1]).real
    return float(((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root))


def test_spatial_features_are_compared(generator: torch.Generator) -> None:
    real, fake = torch.randint(0, 256, (2, 40, 3, 16, 16), dtype=torch.uint8, generator=generator)
    metric = SpatialFrechetDistance()
    metric.begin(Announced(40, suffix="-c"))
    for update, images in ((metric.update_reference, real), (metric.update, fake // 2)):
        feed = Feed("some", [update], Colours())
        for batch in images.split(7):
            feed.update(images=batch)
        feed.close()
    found = measured({"sfid": metric})
    assert found.figures["sFID-c"] == pytest.approx(by_numpy(real, fake // 2), rel=1e-6)
    assert found.errors["sFID-c"] > 0
