"""Statistics of features, kept apart for parts of the images. Shapes: B images of a batch, F features, P parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ldmlab.metrics.features import FeatureStatistics


@dataclass(frozen=True)
class PartedStatistics:
    """Number, sum and outer products of the features of each part, in float64; `add` changes them in place.

    Attributes:
        count: (P,).
        sum: (P, F).
        products: (P, F, F).
    """

    count: Float[Tensor, " P"]
    sum: Float[Tensor, "P F"]
    products: Float[Tensor, "P F F"]

    @classmethod
    def empty(cls, parts: int, width: int) -> PartedStatistics:
        """The statistics of no image."""
        shapes = (parts,), (parts, width), (parts, width, width)
        return cls(*(torch.zeros(shape, dtype=torch.float64) for shape in shapes))

    @classmethod
    def known(cls, mean: Float[Tensor, " F"], covariance: Float[Tensor, "F F"], count: int) -> PartedStatistics:
        """The statistics of a single part with this mean and unbiased covariance.

        Raises:
            ValueError: shapes that do not fit, values that are not finite.
        """
        width = len(mean)
        if mean.shape != (width,) or covariance.shape != (width, width):
            found = f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
            raise ValueError(f"statistics have the shapes {found}; give a mean (F,) and a covariance (F, F)")
        if not bool(torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
            raise ValueError("statistics hold NaN or infinite values; look for NaN in what they were made of")
        mean, covariance = mean.double(), covariance.double()
        products = (count - 1) * covariance + count * torch.outer(mean, mean)
        return cls(torch.tensor([count], dtype=torch.float64), count * mean[None], products[None])

    def add(self, features: Float[Tensor, "B F"], parts: Int[Tensor, " B"]) -> None:
        """Take in features of images, and which part each belongs to."""
        exact = features.detach().to("cpu", torch.float64)
        for part in parts.unique().tolist():
            own = exact[parts == part]
            self.count[part] += len(own)
            self.sum[part] += own.sum(dim=0)
            self.products[part].addmm_(own.T, own)

    def total(self) -> FeatureStatistics:
        """The statistics of all images."""
        return FeatureStatistics(int(self.count.sum()), self.sum.sum(dim=0), self.products.sum(dim=0))

    @property
    def filled(self) -> list[int]:
        """How many images there are of each part that has some."""
        return [int(count) for count in self.count.tolist() if count]

    def without_each(self) -> Iterator[FeatureStatistics]:
        """The statistics of all images but those of one part, part after part; none where too few would be left."""
        total = self.total()
        if len(self.filled) < 2 or total.count - max(self.filled) < 2:
            return
        for count, sums, products in zip(self.count, self.sum, self.products, strict=True):
            if count:
                yield total.without(FeatureStatistics(int(count), sums, products))
