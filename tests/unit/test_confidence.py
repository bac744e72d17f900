"""How figures with errors are written, and what tests say of two of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ldmlab.confidence import LEVEL, corrected, difference, written


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (23.1412, 0.4123, "23.14 +- 0.41"),
        (0.5, 0.0349, "0.500 +- 0.035"),
        (0.999, 0.0996, "1.00 +- 0.10"),
        (12.34, 9.96, "12 +- 10"),
        (1234.5, 123.4, "1230 +- 120"),
        (-0.001, 0.2, "0.00 +- 0.20"),
        (1.0, 1e-9, "1 +- 1e-09"),
        (3.0, 0.0, "3 +- 0"),
        (3.14159, None, "3.142"),
        (3.14159, math.nan, "3.142"),
        (None, 0.1, "infinite"),
        (math.inf, None, "infinite"),
    ],
)
def test_two_digits_of_the_error_are_written(value: float | None, error: float | None, text: str) -> None:
    assert written(value, error) == text


def test_a_difference_of_two_errors_is_as_likely_as_its_p_value() -> None:
    found = difference(23.0, 0.3, 24.0, 0.4)
    assert (found.value, found.error) == (-1.0, pytest.approx(0.5))
    assert found.p_value == pytest.approx(0.0455, abs=1e-4)  # two standard errors
    assert difference(1.0, 0.0, 1.0, 0.0).p_value == 1
    assert difference(1.0, 0.0, 1.1, 0.0).p_value == 0


def test_equal_figures_are_told_apart_at_the_level() -> None:
    """Among ten that are equal, any is called different in one case of twenty: together, not each."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(1000):
        others = rng.normal(5, 0.2, size=10).tolist()
        p_values = [difference(each, 0.2, 5.0, 0.0).p_value for each in others]
        wrong += min(corrected(p_values)) <= LEVEL
    assert 0.03 < wrong / 1000 < 0.07


def test_p_values_corrected_by_hand() -> None:
    assert corrected([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert corrected([0.6, 0.9]) == [1.0, 1.0]
    assert corrected([]) == []
