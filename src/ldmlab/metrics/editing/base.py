"""Figures of single edits of given pictures, and their means.

Shapes: B edits of a batch, N edits in all, K figures of each, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric
from ldmlab.metrics.standard_errors import mean_error, moments


class EditMetric(Metric):
    """Figures that an edit has by itself; what is measured of many is their mean.

    A subclass says the names of its figures and hands them to `add` in `update`, which reads by the names of its
    parameters: `images`, the edited pictures, and `truth`, what they were made of, both uint8 (B, 3, H, W); `mask`,
    bool (B, H, W), True where an edit may change its picture; `captions`, the prompts of the edited pictures.

    Args:
        names: of the K figures.
        extractor: the network of a metric that compares features of its own.
    """

    values: list[Tensor] | Tensor

    def __init__(self, *names: str, extractor: FeatureExtractor | None = None) -> None:
        super().__init__(extractor)
        self.names = names
        self.add_state("values", [], dist_reduce_fx="cat")

    def add(self, *figures: Float[Tensor, " B"]) -> None:
        """Take in the figures of a batch, in the order of their names; NaN where an edit has no such figure."""
        if isinstance(self.values, list):
            self.values.append(torch.stack([each.double().cpu() for each in figures], dim=1))

    @property
    def of_each(self) -> Float[Tensor, "N K"]:
        """The figures of each edit, in float64: NaN where it has none, infinite for the PSNR of what is exact."""
        none = torch.empty(0, len(self.names), dtype=torch.float64)
        return torch.cat([none, *([self.values] if isinstance(self.values, Tensor) else self.values)])

    def compute(self) -> dict[str, float]:
        """The mean of each figure that any edit has; see `mean_of`."""
        return {name: mean for name, mean, _ in means_of(self.names, self.of_each)}

    def errors(self) -> dict[str, float]:
        """The standard errors of the means, of those that have one."""
        return {name: error for name, _, error in means_of(self.names, self.of_each) if error is not None}

    def remarks(self) -> list[str]:
        """How many edits a mean leaves out because they are exact, and their figure infinite."""
        found = []
        for name, column in zip(self.names, self.of_each.unbind(1), strict=True):
            exact, measured = int(column.isinf().sum()), int((~column.isnan()).sum())
            if 0 < exact < measured:
                found.append(f"{name}: {exact} of {measured} edits are exact, and left out of the mean")
        return found


def means_of(names: Sequence[str], values: Float[Tensor, "N K"]) -> list[tuple[str, float, float | None]]:
    """The name, mean and standard error of each figure that any of N edits has; see `mean_of`."""
    found = ((name, *mean_of(column)) for name, column in zip(names, values.unbind(1), strict=True))
    return [(name, mean, error) for name, mean, error in found if mean is not None]


def mean_of(values: Float[Tensor, " N"]) -> tuple[float | None, float | None]:
    """The mean of what is finite, and its standard error.

    Returns:
        Infinity where all that there is is infinite, and None where there is nothing; no error for fewer than two.
    """
    there = values[~values.isnan()]
    finite = there[there.isfinite()]
    if not len(finite):
        return (None if not len(there) else torch.inf), None
    return float(finite.mean()), mean_error(moments(finite)) if len(finite) > 1 else None


def outside(pictures: Shaped[Tensor, "B 3 H W"], mask: Bool[Tensor, "B H W"]) -> Shaped[Tensor, "B 3 H W"]:
    """Pictures with black where an edit may change them, which is how PIE-Bench compares the rest."""
    return pictures * ~mask[:, None]


def inside(pictures: UInt8[Tensor, "B 3 H W"], mask: Bool[Tensor, "B H W"]) -> UInt8[Tensor, "B 3 H W"]:
    """Pictures with black where an edit may not change them."""
    return pictures * mask[:, None]


def where_outside(figures: Float[Tensor, " B"], mask: Bool[Tensor, "B H W"]) -> Float[Tensor, " B"]:
    """Figures of what lies outside the masks: NaN where nothing does."""
    whole = mask.flatten(1).all(dim=1).to(figures.device)
    return figures.double().masked_fill(whole, torch.nan)
