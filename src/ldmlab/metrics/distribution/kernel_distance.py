"""The kernel distance of features (Binkowski et al., "Demystifying MMD GANs", 2018): KID.

Shapes: N and M samples, m of a subset, F features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.distribution.kept_features import KeptFeatures
from ldmlab.metrics.features import require_some


class KernelDistance(KeptFeatures):
    """The squared maximum mean discrepancy with a cubic kernel, as the mean over random subsets.

    Unlike a Frechet distance it has no bias, so that its mean does not depend on N, and it may be below 0.

    Args:
        subsets: how many are drawn of each side.
        subset_size: samples of each, or as many as there are if those are fewer.
        seed: of the draws; 2020 is torch-fidelity's, which these are.
        label: what the figure is called.
        extractor: the network whose features are compared; None for that of all metrics.

    Raises:
        ValueError: no subset, or subsets without a pair.
    """

    higher_is_better = False

    def __init__(
        self,
        subsets: int = 100,
        subset_size: int = 1000,
        seed: int = 2020,
        label: str = "KID",
        extractor: FeatureExtractor | None = None,
    ) -> None:
        super().__init__(extractor)
        if subsets < 1:
            raise ValueError(f"subsets is {subsets}; give at least 1")
        if subset_size < 2:
            raise ValueError(f"subset_size is {subset_size}; give at least 2")
        self.subsets, self.subset_size, self.seed, self.label = subsets, subset_size, seed, label
        self._error = 0.0

    def compute(self) -> dict[str, float]:
        """The mean and the standard deviation over the subsets.

        Raises:
            ValueError: fewer than two samples on a side, or differing widths.
        """
        real, fake = self.pair()
        for name, side in (("real", real), ("fake", fake)):
            require_some(f"{name} images", len(side))
        scores: list[float] = []
        pulls, times = torch.zeros(2, len(fake), dtype=torch.float64)
        for mine, theirs in self._subsets(len(fake), len(real)):
            found = compare(fake[mine], real[theirs])
            scores.append(found.distance)
            pulls[mine] += found.pulls
            times[mine] += 1
        seen = times > 0
        spread = (pulls[seen] / times[seen]).var() if int(seen.sum()) > 1 else torch.tensor(0.0)
        self._error = float((spread * times.square().sum()).sqrt() / times.sum())
        suffix = self.announced.suffix
        return {f"{self.label}{suffix}": float(np.mean(scores)), f"{self.label}_std{suffix}": float(np.std(scores))}

    def errors(self) -> dict[str, float]:
        """The standard error of the mean, from how far each sample pulls it."""
        self.compute()
        return {f"{self.label}{self.announced.suffix}": self._error}

    def remarks(self) -> list[str]:
        """Whether there are too few samples for a subset."""
        fewer = min(map(len, self.pair()))
        if fewer >= self.subset_size:
            return []
        return [
            f"{self.label}{self.announced.suffix}: subset_size is {self.subset_size} and there are {fewer} images, so "
            f"subsets have {fewer}"
        ]

    def _subsets(self, fake: int, real: int) -> Iterator[tuple[Int[Tensor, " m"], Int[Tensor, " m"]]]:
        size = min(self.subset_size, fake, real)
        generator = np.random.RandomState(self.seed)
        for _ in range(1 if size == max(fake, real) else self.subsets):  # subsets of all are all the same
            chosen = [generator.choice(count, size, replace=False) for count in (fake, real)]
            yield torch.from_numpy(chosen[0]), torch.from_numpy(chosen[1])


@dataclass(frozen=True)
class Comparison:
    """Two subsets of equal size, compared.

    Attributes:
        distance: the unbiased estimate of the squared discrepancy.
        pulls: (m,), how much each sample of the first subset contributes to it, up to what all have in common.
    """

    distance: float
    pulls: Float[Tensor, " m"]


def compare(fake: Float[Tensor, "m F"], real: Float[Tensor, "m F"]) -> Comparison:
    """Compare two subsets by the kernel (x'y / F + 1)^3, in float32 with means in float64."""
    within = [_mean_kernel(side, side, itself=False) for side in (fake, real)]
    between = _mean_kernel(fake, real)
    distance = within[0].mean() + within[1].mean() - 2 * between.mean()
    return Comparison(float(distance), 2 * (within[0] - between))


def _mean_kernel(one: Float[Tensor, "m F"], other: Float[Tensor, "m F"], itself: bool = True) -> Float[Tensor, " m"]:
    """The mean kernel of each sample of one set with those of the other, but for itself where both are the same."""
    linear = torch.addmm(torch.ones(1), one, other.T, alpha=1 / one.shape[1])
    kernel = linear.square().mul_(linear)
    sums = kernel.sum(dim=1).double()
    return sums / len(other) if itself else (sums - kernel.diagonal()) / (len(other) - 1)
