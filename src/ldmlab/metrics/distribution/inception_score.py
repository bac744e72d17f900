"""The Inception Score (Salimans et al., "Improved Techniques for Training GANs", 2016).

It depends on the number of samples: compare only figures of equal N. Shapes: N samples, B of a batch, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Announced, Metric
from ldmlab.metrics.features import require_finite
from ldmlab.metrics.picture_parts import part_of
from ldmlab.metrics.standard_errors import jackknife_error

CELLS = 10
"""Of the samples, at least, that are left out in turn to tell an error by."""


class InceptionScore(Metric):
    """The mean Inception Score of parts of the samples, and the standard deviation over the parts.

    It keeps sums: K values a part, or a few times as many where there are few parts.

    Args:
        splits: into how many parts, equal in size but for one sample, the shuffled samples are divided; into as many as
            there are samples if those are fewer.
        seed: of the order in which they are shuffled; 2020 is torch-fidelity's, whose parts these are.
        part_size: samples of a part, in the order in which they come, in the place of `splits`; 5000 is ADM's.
        extractor: the network whose classes are counted; None for that of all metrics.

    Raises:
        ValueError: no part, or parts of no sample.
    """

    higher_is_better = True
    sizes: Tensor
    probabilities: Tensor
    entropies: Tensor

    def __init__(
        self,
        splits: int = 10,
        seed: int = 2020,
        part_size: int | None = None,
        extractor: FeatureExtractor | None = None,
    ) -> None:
        super().__init__(extractor)
        if splits < 1:
            raise ValueError(f"splits is {splits}; give at least 1")
        if part_size is not None and part_size < 1:
            raise ValueError(f"part_size is {part_size}; give at least 1, or null for splits of equal size")
        self.splits, self.seed, self.part_size = splits, seed, part_size
        for name in ("sizes", "probabilities", "entropies"):
            self.add_sum(name)

    def begin(self, announced: Announced) -> None:
        """Learn who belongs to which part."""
        super().begin(announced)
        if self.part_size is None:
            self._part = shuffled_parts(announced.count, min(self.splits, announced.count), self.seed)
        else:
            self._part = torch.arange(announced.count) // self.part_size
        self.parts = int(self._part.max()) + 1
        self.cells = -(-CELLS // self.parts)

    def update(self, logits: Float[Tensor, "B K"], numbers: Sequence[int]) -> None:
        """Take in the logits of a batch of the samples of these numbers.

        Raises:
            ValueError: a sample that was not announced, or values that are not finite.
        """
        require_finite("generated image", logits, numbers[0])
        if max(numbers) >= len(self._part):
            raise ValueError(f"more than the {len(self._part)} samples that were announced")
        own = self._part[list(numbers)] * self.cells + part_of(numbers, self.cells)
        logs = logits.detach().to("cpu", torch.float64).log_softmax(dim=1)
        count = self.parts * self.cells
        if self.entropies.ndim == 0:
            self.probabilities = torch.zeros(count, logs.shape[1], dtype=torch.float64)
            self.entropies = torch.zeros(count, dtype=torch.float64)
        self.probabilities = self.probabilities.index_add(0, own, logs.exp())
        self.entropies = self.entropies.index_add(0, own, (logs.exp() * logs).sum(dim=1))
        self.sizes = self.sizes + own.bincount(minlength=count)

    def compute(self) -> dict[str, float]:
        """The mean and the standard deviation over the parts; with one part the deviation is 0.

        Raises:
            ValueError: fewer samples came than announced.
        """
        come = int(self.sizes.sum())
        if come < len(self._part):
            raise ValueError(f"{come} of {len(self._part)} samples came")
        scores = self._scores()
        suffix = self.announced.suffix
        return {f"IS{suffix}": float(scores.mean()), f"IS_std{suffix}": float(scores.std(correction=0))}

    def errors(self) -> dict[str, float]:
        """The standard error of the mean, from the scores without one part of the samples after the other."""
        filled = [cell for cell, size in enumerate(self.sizes.tolist()) if 0 < size < len(self._part)]
        without = [float(self._scores(cell).mean()) for cell in filled]
        return {f"IS{self.announced.suffix}": jackknife_error(without)}

    def remarks(self) -> list[str]:
        """Whether a part has fewer samples than there are classes, which bounds the score."""
        size, classes = float(self.sizes.sum()) / self.parts, self.probabilities.shape[1]
        if size >= classes:
            return []
        return [
            f"IS{self.announced.suffix}: {self.parts} parts of {size:.5g} images for {classes} classes, and it is "
            f"never above {size:.5g}; compare it with figures of as many images alone"
        ]

    def _scores(self, without: int | None = None) -> Float[Tensor, " P"]:
        """The score of each part, without the samples of one cell; a part that has none then is left out."""
        kept = torch.ones_like(self.sizes)
        if without is not None:
            kept[without] = 0
        sizes, entropies, probabilities = (
            (kept.view(-1, *[1] * (sums.ndim - 1)) * sums).unflatten(0, (self.parts, self.cells)).sum(dim=1)
            for sums in (self.sizes, self.entropies, self.probabilities)
        )
        marginal = probabilities[sizes > 0] / sizes[sizes > 0, None]
        divergence = entropies[sizes > 0] / sizes[sizes > 0] - torch.xlogy(marginal, marginal).sum(dim=1)
        return divergence.exp()


def shuffled_parts(count: int, parts: int, seed: int) -> Int[Tensor, " N"]:
    """Return the part that each of N samples belongs to: shuffled, and cut into parts that differ by one at most.

    Order and cuts are those of torch-fidelity.

    Raises:
        ValueError: fewer samples than parts.
    """
    if count < parts:
        raise ValueError(f"{count} samples are too few for {parts} splits; give N >= {parts}")
    order = torch.from_numpy(np.random.RandomState(seed).permutation(count))
    part = torch.empty(count, dtype=torch.long)
    for number in range(parts):
        part[order[number * count // parts : (number + 1) * count // parts]] = number
    return part


def inception_score(logits: Float[Tensor, "N K"], splits: int = 10, seed: int = 2020) -> tuple[float, float]:
    """Return the mean and the standard deviation of the Inception Score over shuffled splits; see `InceptionScore`.

    Raises:
        ValueError: fewer samples than splits, or values that are not finite.
    """
    score = InceptionScore(splits, seed)
    shuffled_parts(len(logits), splits, seed)  # refuses too few, for which the metric takes fewer parts
    score.begin(Announced(len(logits)))
    score.update(logits, range(len(logits)))
    return score.compute()["IS"], score.compute()["IS_std"]
