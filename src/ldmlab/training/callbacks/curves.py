"""How figures of `Evaluation` are called where they are logged, and which of them are worth a curve."""

from __future__ import annotations

from ldmlab.confidence import ERROR, written
from ldmlab.metrics.measured import COUNTS, Measured

PREFIX = "eval/"
"""What the names of its curves begin with."""
OF_COUNTS = ("asked/", "confusion/", "naive/asked/", "naive/confusion/")
"""What the names of others begin with, which are no curves."""


def is_measured(figure: str | None) -> bool:
    """Whether a figure, by its name in the log, is one of `Evaluation`."""
    return figure is not None and figure.startswith(PREFIX)


def curves_of(found: Measured) -> dict[str, float]:
    """The figures that are worth a curve, and their standard errors, by the names of the curves."""
    curves: dict[str, float] = {}
    for name, value in found.figures.items():
        if name not in COUNTS and not name.startswith(OF_COUNTS):
            curves[f"{PREFIX}{name}"] = value
            if name in found.errors:
                curves[f"{PREFIX}{name}{ERROR}"] = found.errors[name]
    return curves


def in_a_line(found: Measured) -> str:
    """The figures of all pictures together, with their standard errors."""
    whole = {name: value for name, value in found.figures.items() if name not in COUNTS and "/" not in name}
    return ", ".join(f"{name} {written(value, found.errors.get(name))}" for name, value in whole.items())
