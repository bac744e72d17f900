"""Figures with standard errors: how they are written, and whether two of them differ by more than noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ERROR = "_error"
"""What the name of a curve or a column ends with that has the standard errors of another."""
LEVEL = 0.05
"""Of the test: how often figures of equal models are taken for different ones."""


@dataclass(frozen=True)
class Difference:
    """One figure less another, both with independent standard errors.

    Attributes:
        value: the difference.
        error: its standard error.
        p_value: how likely a difference as large is where there is none: of the two-sided z-test.
    """

    value: float
    error: float
    p_value: float


def difference(one: float, one_error: float, other: float, other_error: float) -> Difference:
    """Compare a figure with another.

    Args:
        one: the figure.
        one_error: its standard error.
        other: what it is compared with.
        other_error: its standard error.
    """
    value, error = one - other, math.hypot(one_error, other_error)
    if not error:
        return Difference(value, error, float(value == 0))
    return Difference(value, error, math.erfc(abs(value) / error / math.sqrt(2)))


def corrected(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, so that a test on any of them at a level holds that level for all together.

    Holm ("A Simple Sequentially Rejective Multiple Test Procedure", 1979), in the order of the given.
    """
    found = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = largest
    return found


def written(value: float | None, error: float | None = None) -> str:
    """A figure for a table: to two digits of its standard error, as "23.14 +- 0.41", or to four digits without one.

    Args:
        value: None for an infinite one.
        error: None for one that is not known.
    """
    if value is None or math.isinf(value):
        return "infinite"
    if error is None or not math.isfinite(error):
        return f"{value:.4g}"
    if not 1e-6 < error < 1e6:
        return f"{value:.4g} +- {error:.2g}"
    decimals = 1 - int(f"{error:.1e}".partition("e")[2])
    shown = max(decimals, 0)
    return f"{round(value, decimals):z.{shown}f} +- {round(error, decimals):.{shown}f}"
