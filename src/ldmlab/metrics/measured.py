"""What metrics have found: figures, how sure they are, and what to know before they are compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldmlab.metrics.base import Metric


@dataclass(frozen=True)
class Measured:
    """Figures by name.

    Attributes:
        figures: their values.
        errors: standard errors of those that have one, see `Metric.errors`.
        notes: what to know before they are compared, a line each.
    """

    figures: Mapping[str, float]
    errors: Mapping[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __or__(self, other: Measured) -> Measured:
        """Both together."""
        return Measured({**self.figures, **other.figures}, {**self.errors, **other.errors}, self.notes + other.notes)


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
    for name, metric in metrics.items():
        for key, value in _named(name, metric.compute()):
            if f"{prefix}{key}" in figures:
                raise ValueError(f"metric: two of them give the figure '{key}'; leave one out")
            figures[f"{prefix}{key}"] = value
        told = dict(_named(name, metric.errors()))
        errors |= {f"{prefix}{key}": value for key, value in told.items() if math.isfinite(value)}
    return Measured(figures, errors, [line for metric in metrics.values() for line in metric.remarks()])


def _named(name: str, values: Mapping[str, Any] | Any) -> Iterator[tuple[str, float]]:
    for key, value in (values if isinstance(values, Mapping) else {name: values}).items():
        yield key, float(value)
