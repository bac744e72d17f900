"""Standard errors of figures, from states of constant size that ranks can join. Shapes: N values, R states."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

NO_VALUES = torch.zeros(3, dtype=torch.float64)
"""The moments of no value, to begin with, as in `add_state("ratios", NO_VALUES, dist_reduce_fx=joined)`."""


def joined(states: Float[Tensor, "R 3"]) -> Float[Tensor, " 3"]:
    """The moments of all values together: their number, their mean, and the sum of squares of what they are off it.

    Unlike sums of squares these lose no digits where values differ little (Chan et al., "Algorithms for Computing the
    Sample Variance", 1983).

    Args:
        states: the moments of the values of each batch or rank.
    """
    counts, means, squares = states.unbind(dim=1)
    count = counts.sum()
    mean = (counts * means).sum() / count.clamp(min=1)
    return torch.stack([count, mean, (squares + counts * (means - mean).square()).sum()])


def moments(values: Float[Tensor, " N"]) -> Float[Tensor, " 3"]:
    """The number of values, their mean, and the sum of squares of what they are off it; on the CPU in float64."""
    if not len(values):
        return NO_VALUES
    exact = values.detach().to("cpu", torch.float64)
    mean = exact.mean()
    return torch.stack([torch.full_like(mean, len(exact)), mean, (exact - mean).square().sum()])


def with_values(before: Float[Tensor, " 3"], values: Float[Tensor, " N"]) -> Float[Tensor, " 3"]:
    """The moments of the values that came before and of these."""
    return joined(torch.stack([before, moments(values)]))


def mean_error(state: Float[Tensor, " 3"]) -> float:
    """The standard error s / sqrt(N) of the mean of N independent values, from their moments; NaN below 2 of them."""
    count, _, squares = state.tolist()
    return math.sqrt(squares / (count - 1) / count) if count > 1 else math.nan


def share_error(right: float, count: float) -> float:
    """The standard error sqrt(p (1 - p) / N) of the share p of N independent answers that are right.

    Where none or all are, p (1 - p) would be 0 and the share certain whatever N; p is then 1 / (N + 2) from the end
    (Laplace's rule of succession).

    Args:
        right: how many are right.
        count: N, 1 at least.
    """
    edge = 1 / (count + 2)
    share = min(max(right / count, edge), 1 - edge)
    return math.sqrt(share * (1 - share) / count)


def jackknife_error(without: Sequence[float]) -> float:
    """The standard error of a figure by the jackknife (Quenouille 1956; Tukey 1958) that leaves out a group at a time.

    Args:
        without: what the figure is without each of the groups, which are about equal in size.

    Returns:
        sqrt((G - 1) / G * the sum of squares about the mean of the G figures); NaN below 2 groups.
    """
    groups = len(without)
    if groups < 2:
        return math.nan
    mean = sum(without) / groups
    return math.sqrt((groups - 1) / groups * sum((each - mean) ** 2 for each in without))
