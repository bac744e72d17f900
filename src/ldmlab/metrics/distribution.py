"""FID, IS and diversity, from collected features and logits.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017), and Salimans et al., "Improved Techniques for
Training GANs" (2016), as torchmetrics computes them. All three depend on the number of samples: compare only figures
of equal N.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore


def frechet_distance(real: Float[Tensor, "N F"], fake: Float[Tensor, "M F"]) -> float:
    """Return the Frechet distance between Gaussians fitted to two sets of features, in float64.

    Raises:
        ValueError: fewer than two samples on a side, differing widths, or values that are not finite.
    """
    _require("real", real, least=2)
    _require("fake", fake, least=2)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real features are {real.shape[1]} wide, fake ones {fake.shape[1]}; use one extractor")
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    metric.update(_exact(real), real=True)
    metric.update(_exact(fake), real=False)
    return float(metric.compute())


def inception_score(logits: Float[Tensor, "N K"], splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """Return the mean and the standard deviation of the Inception Score over random splits, in float64.

    The split is drawn from `seed` alone; the global generator is left as it was. With one split the deviation is 0.

    Raises:
        ValueError: fewer samples than two a split, or values that are not finite.
    """
    if splits < 1:
        raise ValueError(f"splits is {splits}; give at least 1")
    _require("logits", logits, least=2 * splits)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message=".*(save all extracted features|degrees of freedom).*")
        torch.default_generator.manual_seed(seed)  # of the CPU alone: torch.manual_seed would reseed GPUs too
        metric = InceptionScore(feature=_Given(logits.shape[1]), splits=splits)
        metric.update(_exact(logits))
        mean, deviation = metric.compute()
    return float(mean), float(deviation) if splits > 1 else 0.0


def diversity(features: Float[Tensor, "N F"], groups: Sequence[Hashable] | None = None) -> float:
    """Return the mean cosine distance between two different samples: 0 for copies, 1 for unrelated features.

    Args:
        features: one vector a sample.
        groups: what each sample belongs to, as its caption; then only pairs inside a group count, and every group
            with at least two samples counts equally.

    Raises:
        ValueError: no pair to compare, another number of groups than samples, or values that are not finite.
    """
    _require("features", features, least=2)
    if groups is None:
        return _mean_cosine_distance(features)
    if len(groups) != len(features):
        raise ValueError(f"groups has {len(groups)} entries for {len(features)} samples; give one a sample")
    rows: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    distances = [_mean_cosine_distance(features[chosen]) for chosen in rows.values() if len(chosen) > 1]
    if not distances:
        raise ValueError("no group has two samples; draw at least two samples a caption")
    return sum(distances) / len(distances)


class _Given(nn.Module):
    """Stands where torchmetrics wants a network, when the features are already there."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        return features


def _mean_cosine_distance(features: Float[Tensor, "N F"]) -> float:
    """Mean over the pairs, from |sum of unit vectors|^2 = N + 2 * (sum of cosines over the pairs)."""
    n = len(features)
    total = nn.functional.normalize(_exact(features), dim=1).sum(0).square().sum()
    return float(1 - (total - n) / (n * (n - 1)))


def _exact(values: Tensor) -> Tensor:
    return values.detach().to("cpu", torch.float64)


def _require(name: str, values: Tensor, least: int) -> None:
    if values.ndim != 2 or len(values) < least:
        raise ValueError(f"{name} have shape {tuple(values.shape)}; give (N, features) with N >= {least}")
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name} hold NaN or infinite values; look for NaN in the images or the extractor")
