"""Figures of judged edits and their standard errors, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ldmlab.evaluation.edit_figures import JudgedEdit, means, require_figure, standard_errors
from ldmlab.metrics.scenes.edit_verdict import Verdict
from ldmlab.worlds.shapes.scene_edits import SceneEdit

OUTSIDE, BESIDE = [1.0, 4.0, 1.0, 2.0], [5.0, 10.0, 12.0, 7.0]


def judged(count: int = 4, beside: list[float] = BESIDE) -> list[JudgedEdit]:
    edit = SceneEdit("a red star", "a blue star", {}, 0, "colour", "blue", "a blue star")
    return [
        JudgedEdit(edit, seed, Verdict(seed != 1, True, OUTSIDE[seed]), Verdict(seed == 0, False, beside[seed]))
        for seed in range(count)
    ]


def test_errors_of_shares_and_means() -> None:
    errors = standard_errors(judged())
    assert errors["reached"] == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    assert errors["reached/colour"] == errors["reached"] == errors["fixed_seed/reached"]
    assert errors["unchanged"] == pytest.approx(math.sqrt(5 / 6 * 1 / 6 / 4))  # all are, which is not certain
    assert errors["outside"] == pytest.approx(np.std(OUTSIDE, ddof=1) / 2)
    assert errors.keys() == means(judged()).keys()


def test_the_error_of_a_ratio_of_two_means_over_the_same_edits() -> None:
    ratio, error = means(judged())["outside/fixed_seed"], standard_errors(judged())["outside/fixed_seed"]
    drawn = np.random.default_rng(0).integers(4, size=(20000, 4))
    spread = np.std(np.array(OUTSIDE)[drawn].mean(1) / np.array(BESIDE)[drawn].mean(1))  # the bootstrap
    assert ratio == pytest.approx(8 / 34)
    assert error == pytest.approx(spread * math.sqrt(4 / 3), rel=0.2)
    half = standard_errors(judged(beside=[each * 2 for each in OUTSIDE]))
    assert half["outside/fixed_seed"] == pytest.approx(0, abs=1e-12)


def test_what_has_no_error() -> None:
    assert "outside/fixed_seed" not in standard_errors(judged(beside=[0.0] * 4))
    single = standard_errors(judged(1))
    assert "outside" not in single
    assert "outside/fixed_seed" not in single
    assert single["reached"] == pytest.approx(math.sqrt(2 / 9))


def test_every_figure_may_be_asked_for_and_no_other() -> None:
    for name in (*means(judged()), "judged", "drawn"):
        require_figure(name, "swap")
    with pytest.raises(
        ValueError, match=r"figure=accuracy: kind=swap has no such figure; choose one of reached, unchanged, outside, "
    ):
        require_figure("accuracy", "swap")
    with pytest.raises(ValueError, match="figure=reached/colour: kind=insert"):
        require_figure("reached/colour", "insert")
