"""FID, IS and diversity, from features and logits that come in any number of batches.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017), and Salimans et al., "Improved Techniques for
Training GANs" (2016). All three depend on the number of samples: compare only figures of equal N.

Shapes: N and M samples, B of a batch, F features, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.metrics.features import FeatureStatistics, require_finite


def frechet_distance(
    real: Float[Tensor, "N F"] | FeatureStatistics, fake: Float[Tensor, "M F"] | FeatureStatistics
) -> float:
    """Return the Frechet distance between Gaussians fitted to two sets of features, in float64.

    With N not above F a covariance has no full rank: the figure is then as much one of N as of the images.

    Raises:
        ValueError: fewer than two samples on a side, differing widths, or values that are not finite.
    """
    a, b = _statistics("real", real), _statistics("fake", fake)
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"real features are {len(a.mean)} wide, fake ones {len(b.mean)}; use one extractor")
    one, other = a.covariance, b.covariance
    shared = torch.linalg.eigvals(one @ other).sqrt().real.sum()
    return float((a.mean - b.mean).square().sum() + one.trace() + other.trace() - 2 * shared)


class InceptionScore:
    """The Inception Score over random parts of the samples, equal in size but for one sample.

    It keeps sums: K values a part. The parts are drawn from `seed` alone.

    Args:
        count: N, how many samples will come.
        parts: over how many it is averaged.
        seed: decides who belongs to which.

    Raises:
        ValueError: fewer samples than two a part.
    """

    def __init__(self, count: int, parts: int = 10, seed: int = 0) -> None:
        if parts < 1:
            raise ValueError(f"splits is {parts}; give at least 1")
        if count < 2 * parts:
            raise ValueError(f"{count} samples are too few for {parts} splits; give N >= {2 * parts}")
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        self._part = torch.empty(count, dtype=torch.long)
        for number, samples in enumerate(order.tensor_split(parts)):
            self._part[samples] = number
        self._sizes = self._part.bincount().double()
        self._come = 0
        self._probabilities: Tensor | None = None
        self._entropies = torch.zeros(parts, dtype=torch.float64)

    def update(self, logits: Float[Tensor, "B K"]) -> None:
        """Take in a batch.

        Raises:
            ValueError: more samples than announced, or values that are not finite.
        """
        require_finite("generated image", logits, self._come)
        own = self._part[self._come : self._come + len(logits)]
        if len(own) < len(logits):
            raise ValueError(f"more than the {len(self._part)} samples that were announced")
        self._come += len(logits)
        logs = logits.detach().to("cpu", torch.float64).log_softmax(dim=1)
        if self._probabilities is None:
            self._probabilities = torch.zeros(len(self._sizes), logs.shape[1], dtype=torch.float64)
        self._probabilities.index_add_(0, own, logs.exp())
        self._entropies.index_add_(0, own, (logs.exp() * logs).sum(dim=1))

    def compute(self) -> tuple[float, float]:
        """The mean and the standard deviation over the parts; with one part the deviation is 0.

        Raises:
            ValueError: fewer samples came than announced.
        """
        if self._probabilities is None or self._come < len(self._part):
            raise ValueError(f"{self._come} of {len(self._part)} samples came")
        marginal = self._probabilities / self._sizes[:, None]
        divergence = self._entropies / self._sizes - torch.xlogy(marginal, marginal).sum(dim=1)
        scores = divergence.exp()
        return float(scores.mean()), float(scores.std()) if len(scores) > 1 else 0.0


def inception_score(logits: Float[Tensor, "N K"], splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """Return the mean and the standard deviation of the Inception Score over random splits; see `InceptionScore`.

    Raises:
        ValueError: fewer samples than two a split, or values that are not finite.
    """
    score = InceptionScore(len(logits), splits, seed)
    score.update(logits)
    return score.compute()


class Diversity:
    """The mean cosine distance between two different samples: 0 for copies, 1 for unrelated features.

    From |sum of unit vectors|^2 = N + 2 * (sum of cosines over the pairs).
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum: Tensor | float = 0.0

    def update(self, features: Float[Tensor, "B F"]) -> None:
        """Take in a batch."""
        self.count += len(features)
        self._sum = self._sum + _unit(features).sum(dim=0)

    def compute(self) -> float:
        """The mean over the pairs; there must be one."""
        n = self.count
        return float(1 - (torch.as_tensor(self._sum).square().sum() - n) / (n * (n - 1)))


class DiversityWithin:
    """The diversity among samples of one group, such as a caption; every group with two samples counts equally.

    A group is forgotten when its last sample has come, so samples that come group by group take the memory of one.

    Args:
        groups: what each sample belongs to, in the order in which they come.

    Raises:
        ValueError: no group has two samples.
    """

    def __init__(self, groups: Sequence[Hashable]) -> None:
        self._groups = groups
        self._sizes = {group: size for group, size in Counter(groups).items() if size > 1}
        if not self._sizes:
            raise ValueError("no group has two samples; draw at least two samples a caption")
        self._come = 0
        self._open: dict[Hashable, Diversity] = {}
        self._total = 0.0

    def update(self, features: Float[Tensor, "B F"]) -> None:
        """Take in a batch."""
        for group, vector in zip(self._groups[self._come : self._come + len(features)], features, strict=True):
            if group not in self._sizes:
                continue
            own = self._open.setdefault(group, Diversity())
            own.update(vector[None])
            if own.count == self._sizes[group]:
                self._total += self._open.pop(group).compute()
        self._come += len(features)

    def compute(self) -> float:
        """The mean over the groups."""
        return self._total / len(self._sizes)


def diversity(features: Float[Tensor, "N F"], groups: Sequence[Hashable] | None = None) -> float:
    """Return the diversity of all samples, or within groups; see `Diversity` and `DiversityWithin`.

    Raises:
        ValueError: no pair to compare, another number of groups than samples, or values that are not finite.
    """
    require_some("images", len(features))
    require_finite("image", features)
    if groups is not None and len(groups) != len(features):
        raise ValueError(f"groups has {len(groups)} entries for {len(features)} samples; give one a sample")
    whole = Diversity() if groups is None else DiversityWithin(groups)
    whole.update(features)
    return whole.compute()


def require_some(name: str, count: int) -> None:
    """Refuse a set without a pair.

    Raises:
        ValueError: naming the set.
    """
    if count < 2:
        given = f"{count} was given" if count else "none was given, the set is empty"
        raise ValueError(f"{name}: {given}; give N >= 2")


def _statistics(name: str, side: Tensor | FeatureStatistics) -> FeatureStatistics:
    if isinstance(side, Tensor):
        require_finite(f"{name} image", side)
        statistics = FeatureStatistics()
        statistics.update(side)
    else:
        statistics = side
    require_some(f"{name} images", statistics.count)
    return statistics


def _unit(features: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
    return torch.nn.functional.normalize(features.detach().to("cpu", torch.float64), dim=1)
