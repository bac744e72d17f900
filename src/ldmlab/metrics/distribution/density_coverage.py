"""Density and coverage of features (Naeem et al., "Reliable Fidelity and Diversity Metrics", 2020).

They depend on the numbers of samples: compare only figures of equal ones. Shapes: M held-out samples, N of the model, F
features, P parts.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution.neighbours import Neighbourhoods, coverage_error, distances, radii, require_neighbours
from ldmlab.metrics.picture_parts import parts_of_all
from ldmlab.metrics.standard_errors import mean_error, moments

NAME = "density_coverage"


class DensityCoverage(Neighbourhoods):
    """How many held-out pictures one of the model's is near, over k; and the share of them that have one near.

    Near a held-out picture is what is nearer to it than its k-th neighbour among them. Of one and the same distribution
    the density is 1 and, with M = N, the coverage 1 - 2^-k.

    Args:
        k: which neighbour.
        parts: of the model's pictures, which are left out in turn to tell the error of the coverage by.
        extractor: the network whose features are compared; None for that of all metrics.

    Raises:
        ValueError: no neighbour, or less than two parts.
    """

    higher_is_better = True

    def __init__(self, k: int = 5, parts: int = 12, extractor: FeatureExtractor | None = None) -> None:
        super().__init__(k, parts, extractor)

    def begin(self, announced: Announced) -> None:
        """Refuse a single picture, of which no error can be told, and fewer held-out ones than neighbours."""
        super().begin(announced)
        require_neighbours(NAME, "generated", announced.count, 1)
        if self.real:
            require_neighbours(NAME, "real", sum(map(len, self.real)), self.k)

    def compute(self) -> dict[str, float]:
        """Both figures.

        Raises:
            ValueError: fewer held-out samples than neighbours, or differing widths.
        """
        real, fake = self.pair()
        require_neighbours(NAME, "real", len(real), self.k)
        reach = radii(real, self.k)
        density, nearest = self._near(real, fake, reach)
        covered = nearest.amin(dim=0) < reach
        without = [float((_others(nearest, part) < reach).double().mean()) for part in range(len(nearest))]
        suffix = self.announced.suffix
        self._errors = {
            f"density{suffix}": mean_error(moments(density)),
            f"coverage{suffix}": coverage_error(covered, without),
        }
        return {f"density{suffix}": float(density.mean()), f"coverage{suffix}": float(covered.double().mean())}

    def _near(
        self, real: Float[Tensor, "M F"], fake: Float[Tensor, "N F"], reach: Float[Tensor, " M"]
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, "P M"]]:
        """How many held-out pictures each of the model's is near, over k; and how near those of each part come."""
        part = parts_of_all(len(fake), self.parts)
        density = torch.empty(len(fake), dtype=torch.float64)
        nearest = torch.full((int(part.max()) + 1, len(real)), torch.inf)
        for rows, block in distances(fake, real):
            density[rows] = (block < reach).sum(dim=1).double() / self.k
            for number in part[rows].unique().tolist():
                nearest[number] = torch.minimum(nearest[number], block[part[rows] == number].amin(dim=0))
        return density, nearest


def _others(nearest: Float[Tensor, "P M"], part: int) -> Float[Tensor, " M"]:
    """How near the pictures of all other parts come."""
    return torch.cat([nearest[:part], nearest[part + 1 :]]).amin(dim=0)
