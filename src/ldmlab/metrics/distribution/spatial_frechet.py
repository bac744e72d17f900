"""The Frechet distance of spatial features (Nash et al., "Generating Images with Sparse Representations", 2021): sFID.

Features that still say where in the picture something is tell of its layout. With the Inception of 2015 they are ADM's:
the first 7 channels of `mixed_6/conv` at 17 x 17. Shapes: B of a batch, S spatial features.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.distribution.frechet import FrechetDistance


class SpatialFrechetDistance(FrechetDistance):
    """The Frechet distance between spatial features of held-out pictures and of the model's; see `FrechetDistance`.

    Args:
        label: what the figure is called.
        parts: see `FrechetDistance`.
        extrapolate: see `FrechetDistance`.
        extractor: a network that tells spatial features; None for that of all metrics.

    Raises:
        ValueError: one part, or none to extrapolate from.
    """

    def __init__(
        self,
        label: str = "sFID",
        parts: int = 12,
        extrapolate: bool = False,
        extractor: FeatureExtractor | None = None,
    ) -> None:
        super().__init__(label, parts, extrapolate, extractor)

    def update_reference(self, spatial: Float[Tensor, "B S"], numbers: Sequence[int]) -> None:
        """Take in spatial features of held-out pictures of these numbers."""
        super().update_reference(spatial, numbers)

    def update(self, spatial: Float[Tensor, "B S"], numbers: Sequence[int]) -> None:
        """Take in spatial features of the model's pictures of these numbers."""
        super().update(spatial, numbers)
