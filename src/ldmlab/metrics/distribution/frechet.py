"""The Frechet distance of features (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017): FID.

It depends on the number of samples: compare only figures of equal N, or extrapolated ones.
Shapes: N and M samples, B of a batch, F features, P parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric
from ldmlab.metrics.distribution.gaussians import DistanceTo, Gaussian, fitted, gaussian_distance
from ldmlab.metrics.distribution.parted import PartedStatistics
from ldmlab.metrics.features import FeatureStatistics, require_finite, require_some
from ldmlab.metrics.picture_parts import Limit, limit, part_of

Side = Literal["real", "fake"]
SIDES: tuple[Side, Side] = ("real", "fake")
SUMS = ("count", "sum", "products")


def frechet_distance(
    real: Float[Tensor, "N F"] | FeatureStatistics, fake: Float[Tensor, "M F"] | FeatureStatistics
) -> float:
    """Return the Frechet distance between Gaussians fitted to two sets of features, in float64.

    With N not above F a covariance has no full rank: the figure is then as much one of N as of the images.

    Raises:
        ValueError: fewer than two samples on a side, differing widths, or values that are not finite.
    """
    return gaussian_distance(*_pair(_statistics("real", real), _statistics("fake", fake)))


class FrechetDistance(Metric):
    """The Frechet distance between the features of held-out pictures and of the model's; its label has their suffix.

    It keeps sums: F^2 numbers for each part.

    Args:
        label: what the figure is called: "FID", or "rFID" where the pictures are reconstructions.
        parts: of the pictures, whose sums are kept apart to tell the standard error by (see `limit`); 0 for
            none, and no error.
        extrapolate: tell also "LABEL_infinity", what the figure is for infinitely many pictures on both sides, as the
            end of a line in 1/N (Chong and Forsyth, "Effectively Unbiased FID and Inception Score", 2020).
        extractor: the network whose features are compared; None for that of all metrics.

    Raises:
        ValueError: one part, or none to extrapolate from.
    """

    higher_is_better = False
    real_count: Tensor

    def __init__(
        self,
        label: str = "FID",
        parts: int = 12,
        extrapolate: bool = False,
        extractor: FeatureExtractor | None = None,
    ) -> None:
        super().__init__(extractor)
        if parts == 1 or parts < 0:
            raise ValueError(f"parts is {parts}; give at least 2 to tell an error by, or 0 for none")
        if extrapolate and not parts:
            raise ValueError("parts is 0 and extrapolate is true; give parts of at least 2 to extrapolate from")
        self.label, self.parts, self.extrapolate = label, parts, extrapolate
        self._error = math.nan
        for side in SIDES:
            for name in SUMS:
                self.add_sum(f"{side}_{name}")

    def update_reference(self, features: Float[Tensor, "B F"], numbers: Sequence[int]) -> None:
        """Take in features of held-out pictures of these numbers."""
        self._add("real", features, numbers)

    def update(self, features: Float[Tensor, "B F"], numbers: Sequence[int]) -> None:
        """Take in features of the model's pictures of these numbers."""
        self._add("fake", features, numbers)

    def set_reference(
        self, mean: Float[Tensor, " F"], covariance: Float[Tensor, "F F"], count: int | None = None
    ) -> None:
        """Take statistics for those of the held-out pictures, in the place of their features.

        Args:
            mean: of their features.
            covariance: of their features, unbiased.
            count: how many they are of; None where nobody knows, and then they are taken for enough.

        Raises:
            ValueError: shapes that do not fit, values that are not finite, or no pair.
        """
        known = len(mean) + 1 if count is None else count
        require_some("reference images", known)
        self._keep("real", PartedStatistics.known(mean, covariance, known))
        self._computed = None

    def compute(self) -> dict[str, float]:
        """The distance, under the label and the suffix of the extractor; and what it tends to, if that is wanted."""
        real, fake = (self._kept(side) for side in SIDES)
        pair = _pair(_statistics("real", real.total()), _statistics("fake", fake.total()))
        figure = gaussian_distance(*pair)
        drawn = _limit(figure, *pair, fake)
        self._error = drawn.error
        figures = {self._name(): figure}
        if self.extrapolate and math.isfinite(drawn.error):
            held_out = _limit(figure, pair[1], pair[0], real)
            figures[self._name("_infinity")] = drawn.figure + held_out.figure - figure
        return figures

    def errors(self) -> dict[str, float]:
        """The standard error of the distance, by its parts; what it tends to has the same."""
        return dict.fromkeys(self.compute(), self._error)

    def remarks(self) -> list[str]:
        """Whether there are too few images for the covariances, or for what the distance tends to."""
        fewer = min((self._kept(side).total() for side in SIDES), key=lambda side: side.count)
        few = f"{fewer.count} images for {len(fewer.mean)} features"
        lines = []
        if fewer.count <= len(fewer.mean):
            lines.append(
                f"{self._name()}: {few}, so the covariances have no full rank; compare it with figures of as many "
                "images alone"
            )
        if self.extrapolate and fewer.count <= len(fewer.mean):
            lines.append(f"{self._name('_infinity')}: {few} are too few to extrapolate; draw more images")
        elif self.extrapolate and len(self.real_count) == 1:
            lines.append(f"{self._name('_infinity')}: the reference is statistics, which are taken for exact")
        return lines

    def _name(self, kind: str = "") -> str:
        return f"{self.label}{kind}{self.announced.suffix}"

    def _add(self, side: Side, features: Float[Tensor, "B F"], numbers: Sequence[int]) -> None:
        parts = self.parts if side == "fake" or self.extrapolate else 1
        if not getattr(self, f"{side}_count").ndim:
            self._keep(side, PartedStatistics.empty(max(parts, 1), features.shape[1]))
        self._kept(side).add(features, part_of(numbers, max(parts, 1)))

    def _kept(self, side: Side) -> PartedStatistics:
        found = (getattr(self, f"{side}_{name}") for name in SUMS)
        return PartedStatistics(*(each if each.ndim else each[None] for each in found))

    def _keep(self, side: Side, statistics: PartedStatistics) -> None:
        for name in SUMS:
            setattr(self, f"{side}_{name}", getattr(statistics, name))


def _limit(figure: float, fixed: Gaussian, whole: Gaussian, parted: PartedStatistics) -> Limit:
    """What the distance of all images of one side from what is fixed tends to."""
    distance = DistanceTo(fixed, whole)
    without = [distance(fitted(statistics)) for statistics in parted.without_each()]
    return limit(figure, without, parted.filled) if without else Limit(figure, math.nan)


def _pair(real: FeatureStatistics, fake: FeatureStatistics) -> tuple[Gaussian, Gaussian]:
    if real.mean.shape != fake.mean.shape:
        raise ValueError(f"real features are {len(real.mean)} wide, fake ones {len(fake.mean)}; use one extractor")
    return fitted(real), fitted(fake)


def _statistics(name: str, side: Tensor | FeatureStatistics) -> FeatureStatistics:
    if isinstance(side, Tensor):
        require_finite(f"{name} image", side)
        statistics = FeatureStatistics()
        statistics.update(side)
    else:
        statistics = side
    require_some(f"{name} images", statistics.count)
    return statistics
