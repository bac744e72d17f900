"""The Frechet distance of features (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017): FID.

It depends on the number of samples: compare only figures of equal N. Shapes: N and M samples, B of a batch, F features.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.metrics.base import Metric
from ldmlab.metrics.features import FeatureStatistics, require_finite, require_some


def frechet_distance(
    real: Float[Tensor, "N F"] | FeatureStatistics, fake: Float[Tensor, "M F"] | FeatureStatistics
) -> float:
    """Return the Frechet distance between Gaussians fitted to two sets of features, in float64.

    With N not above F a covariance has no full rank: the figure is then as much one of N as of the images.

    Raises:
        ValueError: fewer than two samples on a side, differing widths, or values that are not finite.
    """
    a, b = _statistics("real", real), _statistics("fake", fake)
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"real features are {len(a.mean)} wide, fake ones {len(b.mean)}; use one extractor")
    one, other = a.covariance, b.covariance
    shared = torch.linalg.eigvals(one @ other).sqrt().real.sum()
    return float((a.mean - b.mean).square().sum() + one.trace() + other.trace() - 2 * shared)


class FrechetDistance(Metric):
    """The Frechet distance between the features of held-out pictures and of the model's; its label has their suffix.

    Args:
        label: what the figure is called: "FID", or "rFID" where the pictures are reconstructions.
    """

    def __init__(self, label: str = "FID") -> None:
        super().__init__()
        self.label = label
        for side in ("real", "fake"):
            for part in ("count", "sum", "products"):
                self.add_sum(f"{side}_{part}")

    def update_reference(self, features: Float[Tensor, "B F"]) -> None:
        """Take in features of held-out pictures."""
        self._add("real", features)

    def update(self, features: Float[Tensor, "B F"]) -> None:
        """Take in features of the model's pictures."""
        self._add("fake", features)

    def compute(self) -> dict[str, float]:
        """The distance, under the label and the suffix of the extractor."""
        distance = frechet_distance(self._statistics("real"), self._statistics("fake"))
        return {f"{self.label}{self.announced.suffix}": distance}

    def remarks(self) -> list[str]:
        """Whether a covariance has no full rank, because there are no more images than features."""
        fewer = min(self._statistics("real"), self._statistics("fake"), key=lambda side: side.count)
        if fewer.count > len(fewer.mean):
            return []
        return [
            f"{self.label}{self.announced.suffix}: {fewer.count} images for {len(fewer.mean)} features, so the "
            "covariances have no full rank; compare it with figures of as many images alone"
        ]

    def _add(self, side: str, features: Tensor) -> None:
        statistics = self._statistics(side)
        statistics.update(features)
        for part in ("sum", "products"):
            setattr(self, f"{side}_{part}", getattr(statistics, part))
        setattr(self, f"{side}_count", getattr(self, f"{side}_count") + len(features))

    def _statistics(self, side: str) -> FeatureStatistics:
        count, total, products = (getattr(self, f"{side}_{part}") for part in ("count", "sum", "products"))
        return FeatureStatistics(int(count), total, products)


def _statistics(name: str, side: Tensor | FeatureStatistics) -> FeatureStatistics:
    if isinstance(side, Tensor):
        require_finite(f"{name} image", side)
        statistics = FeatureStatistics()
        statistics.update(side)
    else:
        statistics = side
    require_some(f"{name} images", statistics.count)
    return statistics
