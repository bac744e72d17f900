"""Figures of judged edits by hand, and the table of them. `tests/smoke/test_benchmark.py` draws."""

from __future__ import annotations

import csv

import pytest

from ldmlab.evaluation.edit_benchmark import EditBenchmark
from ldmlab.evaluation.edit_figures import JudgedEdit
from ldmlab.evaluation.edit_report import edits_table
from ldmlab.metrics.scenes.edit_verdict import Verdict
from ldmlab.worlds.shapes.scene_edits import ATTRIBUTES, KINDS, SceneEdit, scene_edits

MISSED, DONE = Verdict(False, True, 4.0), Verdict(True, True, 1.0)


def edit(attribute: str, wanted: str | None) -> SceneEdit:
    return SceneEdit("a red star", "a blue star", {}, 0, attribute, wanted, "a blue star")


def benchmark(baseline_outside: float = 10.0) -> EditBenchmark:
    baseline = Verdict(True, False, baseline_outside)
    judged = [
        JudgedEdit(edit("colour", "blue"), 1, DONE, baseline),
        JudgedEdit(edit("colour", "blue"), 2, MISSED, baseline),
        JudgedEdit(edit("shape", "ring"), 3, DONE, baseline),
    ]
    return EditBenchmark(judged, [], 32)


def test_figures_of_all_and_of_each_attribute() -> None:
    figures = benchmark().figures
    assert figures["reached"] == pytest.approx(2 / 3)
    assert (figures["reached/colour"], figures["reached/shape"]) == (0.5, 1.0)
    assert (figures["outside/colour"], figures["fixed_seed/outside"]) == (2.5, 10.0)
    assert figures["outside/fixed_seed"] == pytest.approx(0.2)
    assert (figures["judged"], figures["drawn"]) == (3, 32)
    assert benchmark().remarks == []


def test_nothing_is_divided_by_a_baseline_that_changed_nothing() -> None:
    still = benchmark(baseline_outside=0.0)
    assert "outside/fixed_seed" not in still.figures
    assert still.remarks[0].startswith("outside/fixed_seed: ")


@pytest.mark.parametrize("kind", KINDS)
def test_edits_of_a_kind_change_what_is_said_of_it(kind: str) -> None:
    edits = scene_edits(kind, seed=0)
    assert {next(edits).attribute for _ in range(60)} == {*ATTRIBUTES[kind]}


def test_a_line_an_edit() -> None:
    gone = JudgedEdit(edit("count", None), 7, MISSED, MISSED)
    row = next(csv.DictReader(edits_table([gone]).splitlines()))
    assert row["seed"] == "7"
    assert (row["wanted"], row["reached"], row["unchanged"], row["outside"]) == ("gone", "0", "1", "4.0")
