"""How near features of single images lie to each other, in blocks: no matrix of all pairs is made.

Squared Euclidean distances. Shapes: M and N samples, R of a block, F features, P parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.distribution.kept_features import KeptFeatures
from ldmlab.metrics.standard_errors import jackknife_error, share_error

ROWS = 512
"""Samples whose distances to all others are held at once."""
SPARE = 4
"""Times as many neighbours are looked at as are asked for, so that there are enough beside those of any part."""


class Neighbourhoods(KeptFeatures):
    """Figures of which images of one side are near images of the other. `compute` leaves their errors in `_errors`.

    Args:
        k: which neighbour of an image, on its own side, says how far its neighbourhood reaches.
        parts: of the model's pictures, which are left out in turn to tell errors by.
        extractor: the network whose features are compared; None for that of all metrics.

    Raises:
        ValueError: no neighbour, or less than two parts.
    """

    def __init__(self, k: int, parts: int, extractor: FeatureExtractor | None = None) -> None:
        super().__init__(extractor)
        if k < 1:
            raise ValueError(f"k is {k}; give at least 1")
        if parts < 2:
            raise ValueError(f"parts is {parts}; give at least 2")
        self.k, self.parts = k, parts
        self._errors: dict[str, float] = {}

    def errors(self) -> dict[str, float]:
        """The standard errors, or bounds on them, see `coverage_error`."""
        self.compute()
        return self._errors


def distances(
    samples: Float[Tensor, "N F"], others: Float[Tensor, "M F"]
) -> Iterator[tuple[slice, Float[Tensor, "R M"]]]:
    """Yield blocks of samples, as slices, with the squared distances of each of them to all others."""
    centre = others.mean(dim=0)  # small numbers lose less
    others = others - centre
    lengths = others.square().sum(dim=1)
    for start in range(0, len(samples), ROWS):
        rows = samples[start : start + ROWS] - centre
        squares = torch.addmm(lengths, rows, others.T, alpha=-2).add_(rows.square().sum(dim=1, keepdim=True))
        yield slice(start, start + len(rows)), squares.clamp_(min=0)


def radii(samples: Float[Tensor, "N F"], k: int) -> Float[Tensor, " N"]:
    """Return the squared distance of each sample to the k-th nearest of the others."""
    return torch.cat([block.kthvalue(k + 1).values for _, block in distances(samples, samples)])


def radii_without_parts(samples: Float[Tensor, "N F"], k: int, part: Int[Tensor, " N"]) -> Float[Tensor, "P1 N"]:
    """Return the radii of all samples, and for each part those among the samples that are not in it.

    Args:
        samples: see `radii`.
        k: which neighbour.
        part: of each sample, from 0 on.

    Returns:
        The radii in the first line, then a line a part; -1 for the samples of the part.
    """
    count = int(part.max()) + 1
    found = torch.empty(count + 1, len(samples))
    for rows, block in distances(samples, samples):
        near, who = block.topk(min(SPARE * (k + 1), len(samples)), largest=False)
        found[0, rows] = near[:, k]
        for number in range(count):
            own = part[who] == number
            left = near.masked_fill(own, torch.inf).kthvalue(k + 1).values
            found[number + 1, rows] = torch.where(part[rows] == number, -1.0, left.clamp(max=near[:, -1]))
    return found


def coverage_error(near: Bool[Tensor, " M"], without: Sequence[float]) -> float:
    """Return the standard error of a share of pictures that are near others, or a bound up to twice as large.

    It is the spread without one part of the others after the other, which a jackknife overestimates where they stand in
    for each other (Efron and Stein, "The jackknife estimate of variance", 1981). Where none or all are near there is no
    spread, and no certainty: it is then that of independent answers.

    Args:
        near: which of the pictures are near any of the others.
        without: the share without one part of the others, part after part.
    """
    some = bool(near.any()) and not bool(near.all())
    return jackknife_error(without) if some else share_error(float(near.sum()), len(near))


def require_neighbours(metric: str, name: str, count: int, k: int) -> None:
    """Refuse a set in which a sample has no k-th neighbour.

    Raises:
        ValueError: naming the metric and the set.
    """
    if count <= k:
        raise ValueError(
            f"metric.{metric}.k={k}: {count} {name} images are too few, give at least {k + 1}, or a smaller k"
        )
