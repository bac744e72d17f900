"""The Frechet distance and the Inception Score against closed forms and independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from ldmlab.metrics.distribution.frechet import frechet_distance
from ldmlab.metrics.distribution.inception_score import inception_score

pytest.importorskip("torch_fidelity", exc_type=ImportError)

from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric


def _exact_sample(n: int, mean: Tensor, covariance: Tensor, seed: int) -> Tensor:
    """Draw features whose sample mean and sample covariance are exactly the given ones."""
    noise = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noise -= noise.mean(0)
    white = noise @ torch.linalg.inv(torch.linalg.cholesky(noise.T.cov())).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def _covariance(width: int, seed: int) -> Tensor:
    factor = torch.randn(width, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return factor @ factor.T + 0.1 * torch.eye(width, dtype=torch.float64)


def test_diagonal_gaussians() -> None:
    """|mean difference|^2 + sum of squared differences of the standard deviations."""
    mean_a, mean_b = torch.tensor([0.0, 1, 2, 3]).double(), torch.tensor([1.0, 1, 0, 5]).double()
    std_a, std_b = torch.tensor([1.0, 2, 0.5, 3]).double(), torch.tensor([2.0, 2, 1, 0.1]).double()
    a = _exact_sample(50, mean_a, torch.diag(std_a**2), seed=0)
    b = _exact_sample(70, mean_b, torch.diag(std_b**2), seed=1)
    expected = (mean_a - mean_b).square().sum() + (std_a - std_b).square().sum()
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_general_gaussians_by_scipys_matrix_root() -> None:
    cov_a, cov_b = _covariance(12, 0), _covariance(12, 1)
    mean = torch.linspace(-1, 1, 12, dtype=torch.float64)
    found = frechet_distance(_exact_sample(100, mean, cov_a, 2), _exact_sample(100, -mean, cov_b, 3))
    root = sqrtm(cov_a.numpy() @ cov_b.numpy()).real
    expected = 4 * float(mean.square().sum()) + np.trace(cov_a.numpy() + cov_b.numpy() - 2 * root)
    assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("n", [40, 400], ids=["fewer samples than features", "more"])
def test_torch_fidelity_agrees_on_the_same_features(n: int) -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.rand(n, 64, generator=generator), torch.rand(n, 64, generator=generator) ** 2
    statistics = [fid_features_to_statistics(features) for features in (real, fake)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-4)


def test_the_bias_falls_with_the_number_of_samples() -> None:
    """Of one and the same distribution; why figures of different N are never compared."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 1600, 32, generator=generator)
    biases = [frechet_distance(features[0, :n], features[1, :n]) for n in (100, 400, 1600)]
    assert biases[0] > 2 * biases[1] > 4 * biases[2] > 0


def _numpy_inception_score(logits: np.ndarray, splits: int) -> tuple[float, float]:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    scores = []
    for part in np.array_split(probabilities, splits):
        scores.append(np.exp((part * (np.log(part) - np.log(part.mean(0)))).sum(1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


@pytest.mark.parametrize("splits", [1, 4])
def test_inception_score_by_numpy(splits: int) -> None:
    logits = 3 * torch.randn(200, 10, generator=torch.Generator().manual_seed(0))
    order = np.random.RandomState(7).permutation(200)
    expected = _numpy_inception_score(logits[order].double().numpy(), splits)
    assert inception_score(logits, splits=splits, seed=7) == pytest.approx(expected, rel=1e-9)


def test_inception_score_ends() -> None:
    """1 where every image gets the same class, K where all K classes come equally often and surely."""
    sure = 100 * torch.eye(5).repeat(8, 1)
    assert inception_score(sure, splits=1)[0] == pytest.approx(5)
    assert inception_score(sure[:1].expand(40, -1), splits=1)[0] == pytest.approx(1)
