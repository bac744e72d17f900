"""The Frechet distance of known Gaussians, also where they are degenerate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldmlab.metrics.distribution.gaussians import DistanceTo, Gaussian, gaussian_distance, nuclear_norm

D = torch.float64
SPECTRA = {
    "full": (torch.linspace(1, 3, 8, dtype=D), torch.linspace(2, 0.5, 8, dtype=D)),
    "singular": (torch.tensor([0, 0, 0, 1.0, 2, 3, 0.5, 1], dtype=D), torch.linspace(2, 0.5, 8, dtype=D)),
    "both singular": (
        torch.tensor([0, 0, 0, 1.0, 2, 3, 0, 1], dtype=D),
        torch.tensor([0, 5.0, 0, 0, 1, 2, 0, 3], dtype=D),
    ),
    "nothing shared": (
        torch.tensor([1.0, 2, 3, 0, 0, 0, 0, 0], dtype=D),
        torch.tensor([0, 0, 0, 1.0, 1, 2, 0, 0], dtype=D),
    ),
    "a point": (torch.zeros(8, dtype=D), torch.linspace(2, 0.5, 8, dtype=D)),
    "graded": (torch.logspace(-12, 0, 8, dtype=D), torch.logspace(0, -12, 8, dtype=D)),
}


def rotated(spectrum: Tensor, rotation: Tensor) -> Tensor:
    covariance = rotation @ spectrum.diag() @ rotation.T
    return (covariance + covariance.T) / 2


@pytest.mark.parametrize("name", SPECTRA)
def test_commuting_gaussians(name: str, generator: torch.Generator) -> None:
    """|mean difference|^2 + the sum of squared differences of the standard deviations."""
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=D)).Q
    means = torch.randn(2, 8, generator=generator, dtype=D)
    one, other = SPECTRA[name]
    a, b = Gaussian(means[0], rotated(one, rotation)), Gaussian(means[1], rotated(other, rotation))
    expected = float((means[0] - means[1]).square().sum() + (one.sqrt() - other.sqrt()).square().sum())
    assert gaussian_distance(a, b) == pytest.approx(expected, abs=1e-8)
    assert gaussian_distance(b, a) == pytest.approx(expected, abs=1e-8)
    assert gaussian_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert DistanceTo(a, b)(b) == pytest.approx(expected, abs=1e-6)


def test_transported_gaussians_of_low_rank(generator: torch.Generator) -> None:
    """B = T A T for a symmetric positive T, which is the optimal transport: tr A (1 - T)^2 apart, whatever A's rank."""
    thin = torch.randn(30, 12, generator=generator, dtype=D)
    wide = torch.randn(30, 30, generator=generator, dtype=D)
    covariance, transport = thin @ thin.T, wide @ wide.T / 30 + torch.eye(30, dtype=D) / 10
    mean = torch.zeros(30, dtype=D)
    moved = transport @ covariance @ transport
    off = torch.eye(30, dtype=D) - transport
    expected = float((off @ covariance @ off).trace())
    found = gaussian_distance(Gaussian(mean, covariance), Gaussian(mean, (moved + moved.T) / 2))
    assert found == pytest.approx(expected, rel=1e-10)


def test_nuclear_norms_are_those_of_singular_values(generator: torch.Generator) -> None:
    matrix = torch.randn(20, 30, generator=generator, dtype=D)
    matrix[10:] = 1e-7 * matrix[10:]
    for each in (matrix, matrix.T, matrix[:1], matrix[:0], torch.zeros(3, 4, dtype=D)):
        expected = float(torch.linalg.svdvals(each).sum())
        assert nuclear_norm(each) == pytest.approx(expected, rel=1e-13, abs=1e-13)
