"""How much samples differ from each other, by their features. Shapes: N samples, B of a batch, F features."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Announced, Metric
from ldmlab.metrics.features import require_finite, require_some
from ldmlab.metrics.picture_parts import part_of
from ldmlab.metrics.standard_errors import NO_VALUES, jackknife_error, joined, mean_error, with_values


class Diversity(Metric):
    """The mean cosine distance between two different samples: 0 for copies, 1 for unrelated features.

    From |sum of unit vectors|^2 = N + 2 * (sum of cosines over the pairs). Where a caption occurs twice, also the
    diversity among samples of one caption, "diversity_within_caption". Labels have the suffix of the extractor.

    Args:
        parts: of the samples, whose sums are kept apart to tell the standard error by; see `jackknife_error`.
        extractor: the network whose features are compared; None for that of all metrics.

    Raises:
        ValueError: less than two parts.
    """

    higher_is_better = True
    count: Tensor
    total: Tensor
    within: Tensor
    open: list[Tensor]

    def __init__(self, parts: int = 12, extractor: FeatureExtractor | None = None) -> None:
        super().__init__(extractor)
        if parts < 2:
            raise ValueError(f"parts is {parts}; give at least 2")
        self.parts = parts
        for name in ("count", "total"):
            self.add_sum(name)
        self.add_state("within", NO_VALUES, dist_reduce_fx=joined)
        self.add_state("open", [], dist_reduce_fx="cat")
        self.groups: Groups | None = None

    def begin(self, announced: Announced) -> None:
        """Learn the captions, and measure within them too if one of them comes twice."""
        super().begin(announced)
        captions = announced.captions
        repeated = captions is not None and len(set(captions)) < len(captions)
        self.groups = Groups(captions) if captions is not None and repeated else None

    def update(self, features: Float[Tensor, "B F"], numbers: Sequence[int]) -> None:
        """Take in the features of a batch of the samples of these numbers."""
        units, part = _unit(features), part_of(numbers, self.parts)
        if not self.count.ndim:
            self.count = torch.zeros(self.parts, dtype=torch.float64)
            self.total = torch.zeros(self.parts, units.shape[1], dtype=torch.float64)
        self.count = self.count + part.bincount(minlength=self.parts)
        self.total = self.total.index_add(0, part, units)
        if self.groups is not None:
            self.open.append(self.groups.sums(units, numbers))
            self._finish(self.groups)

    def compute(self) -> dict[str, float]:
        """The means over the pairs. ValueError where there is none."""
        require_some("images", int(self.count.sum()))
        found = {self._name(): _mean_distance(self.total.sum(dim=0), int(self.count.sum()))}
        if self.groups is None:
            return found
        self._finish(self.groups)  # what several ranks have begun
        return found | {self._name("_within_caption"): float(self.within[1])}

    def errors(self) -> dict[str, float]:
        """The standard error of the mean over all pairs, by parts of the samples, and of that over captions."""
        found: dict[str, float] = {}
        filled = self.count > 0
        counts, totals = (self.count.sum() - self.count)[filled], (self.total.sum(dim=0) - self.total)[filled]
        if len(counts) > 1 and int(counts.min()) > 1:
            others = zip(totals, counts.tolist(), strict=True)
            found[self._name()] = jackknife_error([_mean_distance(total, int(count)) for total, count in others])
        if self.groups is not None:
            found[self._name("_within_caption")] = mean_error(self.within)
        return found

    def _name(self, kind: str = "") -> str:
        return f"diversity{kind}{self.announced.suffix}"

    def _finish(self, groups: Groups) -> None:
        """Forget captions whose last sample has come, so that samples that come in order take the memory of one."""
        if not self.open:
            return
        distances, still_open = groups.finished(torch.cat(self.open))
        self.within = with_values(self.within, distances)
        self.open = [still_open] if len(still_open) else []


class Groups:
    """Samples of one group, such as a caption; every group with two samples counts equally.

    Args:
        members: the group of each of the N samples.

    Attributes:
        count: of the groups with two samples at least.

    Raises:
        ValueError: no group has two samples.
    """

    def __init__(self, members: Sequence[Hashable]) -> None:
        numbers: dict[Hashable, int] = {}
        self._group = torch.tensor([numbers.setdefault(each, len(numbers)) for each in members])
        self._sizes = self._group.bincount()
        self.count = int((self._sizes > 1).sum())
        if not self.count:
            raise ValueError("no group has two samples; draw at least two samples a caption")

    def sums(self, units: Float[Tensor, "B F"], numbers: Sequence[int]) -> Float[Tensor, "G F2"]:
        """A line for each group of some samples: its number, how many of its samples these are, and their sum.

        Args:
            units: the samples' features, as vectors of length 1.
            numbers: which of the N samples they are.
        """
        ones = torch.ones(len(units), 1, dtype=units.dtype)
        return self._merged(torch.cat([self._group[list(numbers)][:, None].to(units), ones, units], dim=1))

    def finished(self, sums: Float[Tensor, "G F2"]) -> tuple[Float[Tensor, " D"], Float[Tensor, "O F2"]]:
        """The diversity of each of D groups that are whole, and the sums of those that are not.

        Args:
            sums: lines of `sums`; of one group there may be several.
        """
        merged = self._merged(sums)
        sizes = self._sizes[merged[:, 0].long()]
        whole = merged[:, 1] == sizes
        distances = [_mean_distance(total, int(n)) for total, n in zip(merged[whole, 2:], sizes[whole], strict=True)]
        return torch.tensor(distances, dtype=torch.float64), merged[~whole]

    def _merged(self, sums: Float[Tensor, "R F2"]) -> Float[Tensor, "G F2"]:
        """One line a group, of those that have two samples in all; sums are in the order of the lines."""
        kept = sums[self._sizes[sums[:, 0].long()] > 1]
        groups, place = kept[:, 0].unique(return_inverse=True)
        merged = torch.zeros(len(groups), kept.shape[1] - 1, dtype=kept.dtype).index_add(0, place, kept[:, 1:])
        return torch.cat([groups[:, None], merged], dim=1)


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
    members = Groups(groups)
    distances, _ = members.finished(members.sums(_unit(features), range(len(features))))
    return float(distances.mean())


def _mean_distance(total: Tensor | float, n: int) -> float:
    """1 - the mean cosine over the pairs of n unit vectors, from their sum (F,)."""
    return max(0.0, float(1 - (torch.as_tensor(total).square().sum() - n) / (n * (n - 1))))


def _unit(features: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
    return torch.nn.functional.normalize(features.detach().to("cpu", torch.float64), dim=1)
