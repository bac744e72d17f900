"""What metrics have found: figures, how sure they are, and what to know before they are compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldmlab.metrics.base import Metric

COUNTS = ("n", "n_real", "n_fake")
"""Figures that say how many pictures the others are of."""


@dataclass(frozen=True)
class Measured:
    """Figures by name.

    Attributes:
        figures: their values.
        errors: standard errors of those that have one, see `Metric.errors`.
        notes: what to know before they are compared, a line each.
        higher_is_better: of the figures of which that is known; otherwise the lower.
    """

    figures: Mapping[str, float]
    errors: Mapping[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)

    def __or__(self, other: Measured) -> Measured:
        """Both together."""
        figures, errors = {**self.figures, **other.figures}, {**self.errors, **other.errors}
        return Measured(figures, errors, self.notes + other.notes, {**self.higher_is_better, **other.higher_is_better})


def measured(metrics: Mapping[str, Metric], prefix: str = "") -> Measured:
    """What all metrics have found, in order.

    Args:
        metrics: by name, which is that of a figure that has no other.
        prefix: what the names of all figures begin with.

    Raises:
        ValueError: two metrics give a figure of one name.
    """
    figures: dict[str, float] = {}
    errors: dict[str, float] = {}
    higher_is_better: dict[str, bool] = {}
    for name, metric in metrics.items():
        for key, value in _named(name, metric.compute()):
            if f"{prefix}{key}" in figures:
                raise ValueError(f"metric: two of them give the figure '{key}'; leave one out")
            figures[f"{prefix}{key}"] = value
            if metric.higher_is_better is not None:
                higher_is_better[f"{prefix}{key}"] = metric.higher_is_better
        told = dict(_named(name, metric.errors()))
        errors |= {f"{prefix}{key}": value for key, value in told.items() if math.isfinite(value)}
    notes = [line for metric in metrics.values() for line in metric.remarks()]
    return Measured(figures, errors, notes, higher_is_better)


def _named(name: str, values: Mapping[str, Any] | Any) -> Iterator[tuple[str, float]]:
    for key, value in (values if isinstance(values, Mapping) else {name: values}).items():
        yield key, float(value)
