"""The Frechet distance of two Gaussians (Dowson and Landau, 1982), to the last digits also where they are degenerate.

|m - n|^2 + tr A + tr B - 2 tr (A B)^(1/2), whose last trace is the nuclear norm of R S' for any roots A = R'R and
B = S'S. So only symmetric matrices are decomposed, and no square root is taken of what rounding leaves of a zero.
Shapes: F features, R and S ranks of covariances.
"""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.metrics.features import FeatureStatistics

EPSILON = torch.finfo(torch.float64).eps
SMALL = 1e-10
"""Of the largest square of a singular value: those below it are known too badly to take their roots."""


class Gaussian:
    """A Gaussian in F dimensions, in float64.

    Args:
        mean: (F,).
        covariance: (F, F), symmetric; of any rank.
        noise: the size of what it was computed from where that is larger, which tells zeros from rounding errors.
    """

    def __init__(self, mean: Float[Tensor, " F"], covariance: Float[Tensor, "F F"], noise: float = 0.0) -> None:
        self.mean = mean.double()
        self.covariance = covariance.double()
        self.noise = noise

    @cached_property
    def _eigen(self) -> tuple[Float[Tensor, " R"], Float[Tensor, "R F"]]:
        """The eigenvalues that are not zero, and their eigenvectors."""
        values, vectors = torch.linalg.eigh(self.covariance)
        kept = values > max(len(values), 10) * EPSILON * (values[-1].clamp(min=0) + self.noise)
        return values[kept], vectors[:, kept].T

    @property
    def axes(self) -> Float[Tensor, "R F"]:
        """The directions of unit length in which it extends."""
        return self._eigen[1]

    @cached_property
    def root(self) -> Float[Tensor, "R F"]:
        """A matrix whose product with itself, root' root, is the covariance."""
        values, axes = self._eigen
        return values.sqrt()[:, None] * axes


def fitted(statistics: FeatureStatistics) -> Gaussian:
    """Return the Gaussian with the mean and the covariance of features, of which there are two at least."""
    return Gaussian(statistics.mean, statistics.covariance, float(statistics.mean.square().sum()))


def gaussian_distance(one: Gaussian, other: Gaussian) -> float:
    """Return the Frechet distance, exact to about 1e-12 of the covariances' size."""
    return _distance(one, other, nuclear_norm(one.root @ other.root.T))


class DistanceTo:
    """Distances to one Gaussian from many that extend in the directions of a known one, at a fraction of the cost.

    They are exact to about 1e-8 of the covariances' size, as the square roots of rounding errors are.

    Args:
        fixed: to which distances are measured.
        within: extends wherever the others do.
    """

    def __init__(self, fixed: Gaussian, within: Gaussian) -> None:
        self.fixed = fixed
        self.within = within

    @cached_property
    def _view(self) -> Float[Tensor, "R F"]:
        """What of the fixed Gaussian's root others meet."""
        shared = self.fixed.root @ self.within.axes.T
        if len(shared) > shared.shape[1]:
            shared = torch.linalg.qr(shared).R
        return shared @ self.within.axes

    def __call__(self, other: Gaussian) -> float:
        """The distance from another."""
        squares = torch.linalg.eigvalsh(self._view @ other.covariance @ self._view.T)
        rounding = len(squares) * EPSILON * squares.max() if len(squares) else 0.0
        return _distance(self.fixed, other, float(squares[squares > rounding].sqrt().sum()))


def nuclear_norm(matrix: Float[Tensor, "R S"]) -> float:
    """Return the sum of the singular values of a matrix.

    They are the roots of the eigenvalues of its square. Where these are too small to be exact, the matrix is looked at
    again in their directions alone, where they are large: several times faster than a singular value decomposition.
    """
    matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    rounding = max(matrix.shape) * EPSILON * float(matrix.norm())
    total = 0.0
    while len(matrix):
        squares, vectors = torch.linalg.eigh(matrix @ matrix.T)
        if squares[-1] <= rounding**2:
            break
        small = squares < SMALL * squares[-1]
        total += float(squares[~small].sqrt().sum())
        matrix = vectors[:, small].T @ matrix
    return total


def _distance(one: Gaussian, other: Gaussian, shared: float) -> float:
    means = (one.mean - other.mean).square().sum()
    return max(0.0, float(means + one.covariance.trace() + other.covariance.trace() - 2 * shared))
