"""Precision and recall of features (Kynkaanniemi et al., "Improved Precision and Recall Metric", 2019).

They depend on the numbers of samples: compare only figures of equal ones. Shapes: M held-out samples, N of the model, F
features, P parts.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution.neighbours import (
    Neighbourhoods,
    coverage_error,
    distances,
    radii,
    radii_without_parts,
    require_neighbours,
)
from ldmlab.metrics.picture_parts import parts_of_all
from ldmlab.metrics.standard_errors import share_error

NAME = "precision_recall"


class PrecisionRecall(Neighbourhoods):
    """The share of the model's pictures that are near a held-out one, and of held-out ones that are near the model's.

    Near a picture is what is no farther from it than its k-th neighbour on its own side.

    Args:
        k: which neighbour.
        parts: of the model's pictures, which are left out in turn to tell the error of the recall by.
        extractor: the network whose features are compared; None for that of all metrics.

    Raises:
        ValueError: no neighbour, or less than two parts.
    """

    higher_is_better = True

    def __init__(self, k: int = 3, parts: int = 12, extractor: FeatureExtractor | None = None) -> None:
        super().__init__(k, parts, extractor)

    def begin(self, announced: Announced) -> None:
        """Refuse fewer pictures than neighbours, on either side as far as they have come."""
        super().begin(announced)
        require_neighbours(NAME, "generated", announced.count, self.k)
        if self.real:
            require_neighbours(NAME, "real", sum(map(len, self.real)), self.k)

    def compute(self) -> dict[str, float]:
        """Both shares.

        Raises:
            ValueError: fewer samples than neighbours, or differing widths.
        """
        real, fake = self.pair()
        require_neighbours(NAME, "real", len(real), self.k)
        near_real, near_fake = self._near(real, fake)
        precision = float(near_real.double().mean())
        recall, *without = near_fake.double().mean(dim=1).tolist()
        suffix = self.announced.suffix
        self._errors = {
            f"precision{suffix}": share_error(float(near_real.sum()), len(fake)),
            f"recall{suffix}": coverage_error(near_fake[0], without),
        }
        return {f"precision{suffix}": precision, f"recall{suffix}": recall}

    def _near(self, real: Float[Tensor, "M F"], fake: Float[Tensor, "N F"]) -> tuple[Bool[Tensor, " N"], Tensor]:
        """Which of the model's pictures are near a held-out one; and which of those are near one of the model's.

        Returns:
            (N,), and (P + 1, M): near one of all pictures, and of all but those of a part.
        """
        reach = radii(real, self.k)
        reaches = radii_without_parts(fake, self.k, parts_of_all(len(fake), self.parts))
        near_real, near_fake = torch.zeros(len(fake), dtype=torch.bool), torch.zeros(len(reaches), len(real)) > 0
        for rows, block in distances(fake, real):
            near_real[rows] = (block <= reach).any(dim=1)
            for line, own in zip(near_fake, reaches[:, rows], strict=True):
                line |= (block <= own[:, None]).any(dim=0)
        return near_real, near_fake
