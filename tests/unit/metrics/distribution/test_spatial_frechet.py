"""sFID is the Frechet distance of spatial features."""

from __future__ import annotations

import torch

from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution.frechet import frechet_distance
from ldmlab.metrics.distribution.spatial_frechet import SpatialFrechetDistance
from ldmlab.metrics.feed import Feed
from ldmlab.metrics.measured import measured

from ....colours import Colours


def test_spatial_features_are_compared(generator: torch.Generator) -> None:
    real, fake = torch.randint(0, 256, (2, 40, 3, 16, 16), dtype=torch.uint8, generator=generator)
    metric = SpatialFrechetDistance()
    metric.begin(Announced(40, suffix="-c"))
    for update, images in ((metric.update_reference, real), (metric.update, fake // 2)):
        feed = Feed("some", [update], Colours())
        for batch in images.split(7):
            feed.update(images=batch)
        feed.close()
    expected = frechet_distance(*(Colours().with_spatial(images)[1] for images in (real, fake // 2)))
    found = measured({"sfid": metric})
    assert abs(found.figures["sFID-c"] - expected) < 1e-9
    assert found.errors["sFID-c"] > 0
