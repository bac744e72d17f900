"""The evaluation protocol of tasks with a truth to compare with: super-resolution, colorization, inpainting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from ldmlab.metrics.distribution import frechet_distance
from ldmlab.metrics.extractors import FeatureExtractor
from ldmlab.metrics.features import FeatureBlocks, FeatureStatistics
from ldmlab.metrics.images import require_uint8
from ldmlab.metrics.protocol import Tell, silent, tell_of_few
from ldmlab.metrics.reconstruction import ssim
from ldmlab.metrics.scenes import SceneAccuracy


@dataclass(frozen=True)
class Trial:
    """A batch of the same pictures three times.

    Attributes:
        truth: as they were.
        drawn: by the model, from what was left of them.
        naive: from the same without a model.
        asked: for drawn scenes what each picture's caption says.
    """

    truth: UInt8[Tensor, "B 3 H W"]
    drawn: UInt8[Tensor, "B 3 H W"]
    naive: UInt8[Tensor, "B 3 H W"]
    asked: Sequence[Mapping[str, Any]] | None = None


class Comparison:
    """One side's pictures against the truth, over batches."""

    def __init__(self, name: str, extractor: FeatureExtractor) -> None:
        self.extractor = extractor
        self.statistics, self.scenes = FeatureStatistics(), SceneAccuracy()
        self.blocks = FeatureBlocks(name, self.statistics.update)
        self.squares, self.similarity, self.count = 0.0, 0.0, 0

    def update(self, images: Tensor, truth: Tensor, asked: Sequence[Mapping[str, Any]] | None) -> None:
        """Take in a batch."""
        require_uint8(images)
        require_uint8(truth, "truth")
        self.squares += float((images.double() - truth.double()).square().mean(dim=(1, 2, 3)).sum())
        self.similarity += float(ssim(images, truth).sum())
        self.count += len(images)
        self.blocks.update(self.extractor.features(images))
        if asked is not None:
            self.scenes.update(images, asked)

    def figures(self, truth: FeatureStatistics, prefix: str) -> dict[str, float]:
        """The side's figures, given the features of the truth."""
        self.blocks.close()
        error = self.squares / self.count
        figures = {
            "PSNR": 10 * math.log10(255**2 / error) if error else math.inf,
            "SSIM": self.similarity / self.count,
            f"FID{self.extractor.suffix}": frechet_distance(truth, self.statistics),
            **{f"accuracy/{name}": value for name, value in self.scenes.fractions().items()},
        }
        return {f"{prefix}{name}": value for name, value in figures.items()}


def evaluate_restorations(
    trials: Iterable[Trial], extractor: FeatureExtractor, tell: Tell = silent
) -> dict[str, float]:
    """Measure a model that draws pictures again from what was left of them, beside the naive answer.

    Args:
        trials: batches.
        extractor: the network whose features are compared.
        tell: see `evaluate_samples`.

    Returns:
        "PSNR" in dB, of the mean squared error over all images (a mean of single ratios is infinite where one image is
        hit exactly); "SSIM", a mean; "FID" with the extractor's suffix; "accuracy/<attribute>" where scenes were asked
        for; the same for the naive answer, as "naive/..."; "n".

    Raises:
        ValueError: fewer than two images, or images that are not uint8 of equal shapes.
    """
    truth = FeatureStatistics()
    blocks = FeatureBlocks("real", truth.update)
    drawn, naive = Comparison("drawn", extractor), Comparison("naive", extractor)
    for trial in trials:
        blocks.update(extractor.features(trial.truth))
        drawn.update(trial.drawn, trial.truth, trial.asked)
        naive.update(trial.naive, trial.truth, trial.asked)
    blocks.close()
    tell_of_few(f"FID{extractor.suffix}", truth, tell)
    return drawn.figures(truth, "") | naive.figures(truth, "naive/") | {"n": float(drawn.count)}
