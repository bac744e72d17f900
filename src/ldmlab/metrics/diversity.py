"""How much samples differ from each other, by their features. Shapes: N samples, B of a batch, F features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.metrics.base import Announced, Metric
from ldmlab.metrics.features import require_finite, require_some


class Diversity(Metric):
    """The mean cosine distance between two different samples: 0 for copies, 1 for unrelated features.

    From |sum of unit vectors|^2 = N + 2 * (sum of cosines over the pairs). Where a caption occurs twice, also the
    diversity among samples of one caption, "diversity_within_caption".
    """

    count: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("count")
        self.add_sum("total")
        self.within: _Within | None = None

    def begin(self, announced: Announced) -> None:
        """Learn the captions, and measure within them too if one of them comes twice."""
        super().begin(announced)
        captions = announced.captions
        repeated = captions is not None and len(set(captions)) < len(captions)
        self.within = _Within(captions) if captions is not None and repeated else None

    def update(self, features: Float[Tensor, "B F"]) -> None:
        """Take in the features of a batch."""
        units = _unit(features)
        self.count = self.count + len(units)
        self.total = self.total + units.sum(dim=0)
        if self.within is not None:
            self.within.update(units)

    def compute(self) -> dict[str, float]:
        """The means over the pairs. ValueError where there is none."""
        require_some("images", int(self.count))
        within = {} if self.within is None else {"diversity_within_caption": self.within.compute()}
        return {"diversity": _mean_distance(self.total, int(self.count)), **within}


class _Within:
    """The diversity among samples of one group, such as a caption; every group with two samples counts equally.

    A group is forgotten when its last sample has come, so samples that come group by group take the memory of one.
    """

    def __init__(self, groups: Sequence[Hashable]) -> None:
        self._groups = groups
        self._sizes = {group: size for group, size in Counter(groups).items() if size > 1}
        if not self._sizes:
            raise ValueError("no group has two samples; draw at least two samples a caption")
        self._come = 0
        self._open: dict[Hashable, tuple[Tensor | float, int]] = {}
        self._total = 0.0

    def update(self, units: Float[Tensor, "B F"]) -> None:
        for group, unit in zip(self._groups[self._come : self._come + len(units)], units, strict=True):
            if group not in self._sizes:
                continue
            total, count = self._open.get(group, (0.0, 0))
            self._open[group] = total + unit, count + 1
            if count + 1 == self._sizes[group]:
                self._total += _mean_distance(*self._open.pop(group))
        self._come += len(units)

    def compute(self) -> float:
        return self._total / len(self._sizes)


def diversity(features: Float[Tensor, "N F"], groups: Sequence[Hashable] | None = None) -> float:
    """Return the diversity of all samples, or the mean of that within each group with two samples; see `Diversity`.

    Raises:
        ValueError: no pair to compare, another number of groups than samples, or values that are not finite.
    """
    require_some("images", len(features))
    require_finite("image", features)
    if groups is None:
        units = _unit(features)
        return _mean_distance(units.sum(dim=0), len(units))
    if len(groups) != len(features):
        raise ValueError(f"groups has {len(groups)} entries for {len(features)} samples; give one a sample")
    within = _Within(groups)
    within.update(_unit(features))
    return within.compute()


def _mean_distance(total: Tensor | float, n: int) -> float:
    """1 - the mean cosine over the pairs of n unit vectors, from their sum (F,)."""
    return float(1 - (torch.as_tensor(total).square().sum() - n) / (n * (n - 1)))


def _unit(features: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
    return torch.nn.functional.normalize(features.detach().to("cpu", torch.float64), dim=1)
