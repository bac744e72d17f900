"""The figure that a sweeper looks at."""

from __future__ import annotations

import math

import pytest

from ldmlab.cli.tables import figure_of


def test_the_first_figure_stands_for_a_run_unless_another_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"FID": 3.5, "PSNR": None}
    assert figure_of(figures, None) == 3.5
    assert figure_of(figures, "PSNR") == math.inf
    assert math.isnan(figure_of(figures, "IS"))
    assert capsys.readouterr().out == "figure=IS: is not measured; choose one of FID, PSNR\n"
