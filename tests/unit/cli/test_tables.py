"""Figures as they are printed, and the one that a sweeper looks at."""

from __future__ import annotations

import math

import pytest

from ldmlab.cli.tables import figure_of, print_table


def test_the_first_figure_stands_for_a_run_unless_another_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"FID": 3.5, "PSNR": None}
    assert figure_of(figures, None) == 3.5
    assert figure_of(figures, "PSNR") == math.inf
    assert math.isnan(figure_of(figures, "IS"))
    assert capsys.readouterr().out == "figure=IS: is not measured; choose one of FID, PSNR\n"


def test_errors_stand_beside_figures(capsys: pytest.CaptureFixture[str]) -> None:
    print_table({"FID": 23.1412, "PSNR": None, "n": 50.0}, "of mine", {"FID": 0.4123})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["│", "FID", "│", "23.14", "+-", "0.41", "│"] in lines
    assert ["│", "PSNR", "│", "infinite", "│"] in lines
    assert ["│", "n", "│", "50", "│"] in lines
