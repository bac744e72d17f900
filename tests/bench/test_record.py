"""What the measurements are written into, and the clock's turns."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from side_by_side import clock
from side_by_side.clock import in_turns, ratio
from side_by_side.record import BEGIN, END, Record
from side_by_side.row import Row, table

HERE, THERE = {"device": "one", "commit": "a"}, {"device": "two", "commit": "a"}
ROW = Row("Training", "net", "eager", {"ldmlab": 0.5, "diffusers": 1.0}, 0.5, "images/s", 32, flops=1e12, rate=4e12)


def test_figures_are_told_in_their_unit_with_their_share_of_the_rate() -> None:
    assert (ROW.told("ldmlab"), ROW.told("diffusers"), ROW.told("nobody")) == ("64 (50%)", "32 (25%)", "-")
    assert Row("", "", "", {"a": 0.25}).told("a") == "250"
    assert Row("", "", "", {"a": 3.0}, unit="s a picture", pictures=2).told("a") == "1.5"
    assert Row("", "", "", {"a": 0.985}, unit="%").told("a") == "98.5"


def test_a_table_compares_the_first_with_the_second() -> None:
    lines = table([ROW, Row("Training", "net", "compiled", notes=("diffusers: is missing",))]).splitlines()
    assert lines[0] == "| work | how | ldmlab, images/s | diffusers, images/s | time, ldmlab / diffusers |"
    assert lines[2] == "| net | eager | 64 (50%) | 32 (25%) | **0.500** |"
    assert lines[3:] == ["| net | compiled | - | - | - |", "", "- net, compiled: diffusers: is missing"]


def test_a_run_goes_on_where_another_of_the_same_place_stopped(tmp_path: Path) -> None:
    path = tmp_path / "out/rows.jsonl"
    Record(path, HERE).add(ROW)
    again = Record(path, HERE)
    assert list(again.rows.values()) == [ROW]
    again.add(faster := Row("Training", "net", "eager", {"ldmlab": 0.25}))
    assert list(Record(path, HERE).rows.values()) == [faster]
    assert Record(path, THERE).rows == {}


def test_only_what_lies_between_the_marks_of_a_page_is_written(tmp_path: Path) -> None:
    record = Record(tmp_path / "rows.jsonl", HERE)
    record.add(ROW)
    page = tmp_path / "page.md"
    page.write_text(f"before {BEGIN} old {END} after")
    record.write_into(page)
    text = page.read_text()
    assert text.startswith(f"before {BEGIN}\n\ndevice one, commit a.\n\n### Training\n")
    assert text.endswith(f"{END} after")
    assert "old" not in text
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no place for the tables"):
        record.write_into(page)


def test_the_page_of_the_project_has_its_place() -> None:
    text = (Path(__file__).parents[2] / "docs/performance.md").read_text()
    assert 0 <= text.find(BEGIN) < text.find(END)


def test_calls_are_measured_in_turns() -> None:
    told: list[str] = []
    times = in_turns({"a": lambda: told.append("a"), "b": lambda: told.append("b")}, rounds=3, least=0.0)
    assert "".join(told) == "ab" + "abbaab"
    assert [len(taken) for taken in times.values()] == [3, 3]


def test_long_calls_get_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1000))
    monkeypatch.setattr(clock, "_now", lambda: float(next(now)))
    calls = {"a": lambda: None}
    assert [len(in_turns(calls, 5, most=most)["a"]) for most in (math.inf, 3.0, 0.0)] == [5, 3, 2]


def test_a_ratio_is_the_median_over_the_rounds() -> None:
    assert ratio({"a": [1.0, 2.0, 9.0], "b": [2.0, 2.0, 1.0]}, "a", "b") == 1.0
