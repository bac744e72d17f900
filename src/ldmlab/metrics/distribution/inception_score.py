"""The Inception Score (Salimans et al., "Improved Techniques for Training GANs", 2016).

It depends on the number of samples: compare only figures of equal N. Shapes: N samples, B of a batch, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.metrics.base import Announced, Metric
from ldmlab.metrics.features import require_finite


class InceptionScore(Metric):
    """The Inception Score over random parts of the samples, equal in size but for one sample.

    It keeps sums: K values a part. The parts are drawn from the seed that is announced.

    Args:
        splits: over how many parts it is averaged at most; there are two samples in each at least.

    Raises:
        ValueError: no part.
    """

    sizes: Tensor
    probabilities: Tensor
    entropies: Tensor

    def __init__(self, splits: int = 10) -> None:
        super().__init__()
        if splits < 1:
            raise ValueError(f"splits is {splits}; give at least 1")
        self.splits = splits
        for name in ("sizes", "probabilities", "entropies"):
            self.add_sum(name)

    def begin(self, announced: Announced) -> None:
        """Draw who belongs to which part."""
        super().begin(announced)
        self.parts = min(self.splits, announced.count // 2)
        self._part = random_parts(announced.count, self.parts, announced.seed)

    def update(self, logits: Float[Tensor, "B K"], numbers: Sequence[int]) -> None:
        """Take in the logits of a batch of the samples of these numbers.

        Raises:
            ValueError: a sample that was not announced, or values that are not finite.
        """
        require_finite("generated image", logits, numbers[0])
        if max(numbers) >= len(self._part):
            raise ValueError(f"more than the {len(self._part)} samples that were announced")
        own = self._part[list(numbers)]
        logs = logits.detach().to("cpu", torch.float64).log_softmax(dim=1)
        sums = logs.exp(), (logs.exp() * logs).sum(dim=1)
        if self.entropies.ndim == 0:
            self.probabilities = torch.zeros(self.parts, logs.shape[1], dtype=torch.float64)
            self.entropies = torch.zeros(self.parts, dtype=torch.float64)
        self.probabilities = self.probabilities.index_add(0, own, sums[0])
        self.entropies = self.entropies.index_add(0, own, sums[1])
        self.sizes = self.sizes + own.bincount(minlength=self.parts)

    def compute(self) -> dict[str, float]:
        """The mean and the standard deviation over the parts; with one part the deviation is 0.

        Raises:
            ValueError: fewer samples came than announced.
        """
        come = int(self.sizes.sum())
        if come < len(self._part):
            raise ValueError(f"{come} of {len(self._part)} samples came")
        marginal = self.probabilities / self.sizes[:, None]
        divergence = self.entropies / self.sizes - torch.xlogy(marginal, marginal).sum(dim=1)
        scores = divergence.exp()
        deviation = float(scores.std()) if len(scores) > 1 else 0.0
        suffix = self.announced.suffix
        return {f"IS{suffix}": float(scores.mean()), f"IS_std{suffix}": deviation}

    def remarks(self) -> list[str]:
        """Whether a part has fewer samples than there are classes, which bounds the score."""
        size, classes = int(self.sizes.sum()) // self.parts, self.probabilities.shape[1]
        if size >= classes:
            return []
        return [
            f"IS{self.announced.suffix}: {self.parts} parts of {size} images for {classes} classes, and it is "
            f"never above {size}; compare it with figures of as many images alone"
        ]


def random_parts(count: int, parts: int, seed: int) -> Tensor:
    """The number of the part (N,) that each of so many samples belongs to; sizes differ by one at most.

    Raises:
        ValueError: fewer samples than two a part.
    """
    if count < 2 * parts:
        raise ValueError(f"{count} samples are too few for {parts} splits; give N >= {2 * parts}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    part = torch.empty(count, dtype=torch.long)
    for number, samples in enumerate(order.tensor_split(parts)):
        part[samples] = number
    return part


def inception_score(logits: Float[Tensor, "N K"], splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """Return the mean and the standard deviation of the Inception Score over random splits; see `InceptionScore`.

    Raises:
        ValueError: fewer samples than two a split, or values that are not finite.
    """
    score = InceptionScore(splits)
    random_parts(len(logits), splits, seed)  # refuses too few, for which the metric takes fewer parts
    score.begin(Announced(len(logits), seed))
    score.update(logits, range(len(logits)))
    return score.compute()["IS"], score.compute()["IS_std"]
