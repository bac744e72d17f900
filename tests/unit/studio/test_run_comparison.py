"""`ldmlab runs` marks differences that are noise, and says which figures are not to be compared."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ldmlab.cli.launch import launch
from ldmlab.configs.errors import UserError
from ldmlab.status import Status
from ldmlab.studio.run_comparison import compared, unlike
from ldmlab.studio.run_records import RunRecord, read_run

MANIFEST = {"n": 1000, "extractor": "lite0", "extractor_sha256": "ab", "reference_fingerprint": "cd"}


def add_evaluation(folder: Path, fid: float, error: float, **manifest: Any) -> None:
    """The folder of a run of `ldmlab evaluate`."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/config.yaml").write_text(f"seed: {folder.name}\n")
    metrics = {"FID-lite0": fid, "accuracy/caption": 0.9, "n_fake": 1000}
    errors = {"FID-lite0": error, "accuracy/caption": 0.01}
    told = {"metrics": metrics, "errors": errors, "notes": [], "manifest": {**MANIFEST, **manifest}}
    (folder / "metrics.json").write_text(json.dumps(told))
    Status("evaluate", "done", figure={"name": "FID-lite0", "value": fid}).write(folder)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five evaluations, of which one is of fewer pictures and one by another network."""
    monkeypatch.chdir(tmp_path)
    for name, fid in {"0": 23.1, "1": 22.8, "2": 29.2}.items():
        add_evaluation(tmp_path / "runs" / name, fid, 0.4)
    add_evaluation(tmp_path / "runs/3", 45.0, 1.2, n=200)
    add_evaluation(tmp_path / "runs/4", 40.0, 1.2, extractor="other")
    return tmp_path / "runs"


def rows(out: str) -> list[list[str]]:
    return [re.split(r" *[│┃] *", line)[1:-1] for line in out.splitlines() if line[:1] in "│┃" and line]


def test_noise_and_what_is_not_compared_are_marked(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("runs", ["runs"])
    out = capsys.readouterr().out
    assert [[row[0], row[3], row[4]] for row in rows(out)] == [
        ["run", "FID-lite0", "accuracy/caption"],
        ["1", "22.80 +- 0.40", "0.900 +- 0.010"],
        ["0", "23.10 +- 0.40 ~", "0.900 +- 0.010 ~"],
        ["2", "29.20 +- 0.40", "0.900 +- 0.010 ~"],
        ["4", "40.0 +- 1.2 (extractor)", "0.900 +- 0.010 (extractor)"],
        ["3", "45.0 +- 1.2 (n)", "0.900 +- 0.010 (n)"],
    ]
    assert "~: differs from 1 by no more than noise (two-sided z-test on the standard errors at 0.05, Holm's" in out
    assert "(n): not compared with 1, which was measured with another n\n" in out


def test_the_best_is_the_highest_where_higher_is_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, share in {"low": 0.2, "high": 0.9, "middle": 0.5}.items():
        add_evaluation(tmp_path / name, 20.0, 0.4)
        told = json.loads((tmp_path / name / "metrics.json").read_text())
        told |= {"metrics": {"accuracy/caption": share}, "higher_is_better": {"accuracy/caption": True}}
        (tmp_path / name / "metrics.json").write_text(json.dumps(told))
        Status("evaluate", "done", figure={"name": "accuracy/caption", "value": share}).write(tmp_path / name)
    launch("runs", [str(tmp_path)])
    out = capsys.readouterr().out
    assert [row[0] for row in rows(out)] == ["run", "high", "middle", "low"]


def test_another_baseline(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("runs", ["runs", "baseline=3", "figures=[FID-lite0]"])
    cells = {row[0]: row[3] for row in rows(capsys.readouterr().out)}
    assert (cells["3"], cells["0"]) == ("45.0 +- 1.2", "23.10 +- 0.40 (n)")
    with pytest.raises(ValueError, match=r"^baseline=7: no run in runs is called so; choose one of 1, 0, 2, 4, 3$"):
        launch("runs", ["runs", "baseline=7"])


def test_two_runs_figure_by_figure(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("runs", ["runs", "compare=[0,runs/2]", "csv=all.csv"])
    assert rows(capsys.readouterr().out) == [
        ["figure", "0", "2", "difference", "p", ""],
        ["FID-lite0", "23.10 +- 0.40", "29.20 +- 0.40", "-6.10 +- 0.57", "8.2e-27", ""],
        ["accuracy/caption", "0.900 +- 0.010", "0.900 +- 0.010", "0.000 +- 0.014", "1", "~"],
        ["n_fake", "1000", "1000", "", "", ""],
    ]
    with open("all.csv", newline="") as file:
        line = next(row for row in csv.DictReader(file) if row["run"] == "2")
    assert (line["FID-lite0"], line["FID-lite0_error"]) == ("29.2", "0.4")
    assert "n_fake_error" not in line


def test_two_runs_that_were_measured_otherwise(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("runs", ["runs", "compare=[0,3]"])
    out = capsys.readouterr().out
    assert rows(out)[1] == ["FID-lite0", "23.10 +- 0.40", "45.0 +- 1.2", "", "", "(n)"]
    assert "not compared, since they were measured otherwise: n: 1000 and 200\n" in out
    with pytest.raises(UserError, match=r"^baseline: nothing would read it: compare= prints two runs alone"):
        launch("runs", ["runs", "compare=[0,3]", "baseline=1"])


def test_curves_of_training_are_compared_too(tmp_path: Path) -> None:
    for name, settings in {"a": "n: 64", "b": "n: 64", "c": "n: 128"}.items():
        (tmp_path / name / ".hydra").mkdir(parents=True)
        config = f"callbacks:\n  evaluation:\n    {settings}\n"
        (tmp_path / name / ".hydra/config.yaml").write_text(config)
        (tmp_path / name / "metrics.csv").write_text("step,eval/FID,eval/FID_error,x_error\n4,9,1,2\n8,7,0.5,\n")
    a, b, c = (read_run(tmp_path / name) for name in "abc")
    assert (a.figures, a.errors) == ({"step": 8, "eval/FID": 7, "x_error": 2}, {"eval/FID": 0.5})
    same, other = compared([(a, b, "eval/FID"), (a, c, "eval/FID")])
    assert (same.mark, other.mark) == ("~", "(n)")


def test_more_comparisons_ask_for_larger_differences(tmp_path: Path) -> None:
    """A difference of 2.2 errors is more than noise where it alone is looked at."""
    one = RunRecord(tmp_path / "a", figures={"x": 0.0}, errors={"x": 0.5})
    other = RunRecord(tmp_path / "b", figures={"x": 2.2 * 0.5**0.5}, errors={"x": 0.5})
    assert compared([(one, other, "x")])[0].mark == ""
    assert {each.mark for each in compared([(one, other, "x")] * 2)} == {"~"}
    assert [each.mark for each in compared([(one, other, "y"), (one, one, "x")])] == ["", ""]


def test_a_reference_of_another_size_is_named_where_n_does_not_tell(tmp_path: Path) -> None:
    one, two, three = (RunRecord(tmp_path, manifest={"n": n, "n_reference": m}) for n, m in ((5, 5), (5, 9), (9, 9)))
    assert unlike(one, two) == ["n_reference"]
    assert unlike(one, three) == ["n"]


def test_what_only_one_of_two_tells_keeps_nothing_from_being_compared(tmp_path: Path) -> None:
    """As where a folder of pictures is measured, of which nobody knows what they were asked for."""
    balanced, drawn, given = (
        RunRecord(tmp_path, manifest={"n": 5, "conditions": each}) for each in ("balanced", "drawn", None)
    )
    assert unlike(balanced, drawn) == ["conditions"]
    assert unlike(balanced, given) == unlike(given, drawn) == []
    clip, lpips, other = (
        RunRecord(tmp_path, manifest={"networks": each})
        for each in ({"clip_score": {"clip": "ab"}}, {"lpips": {"vgg": "cd"}}, {"clip_score": {"clip": "ef"}})
    )
    assert unlike(clip, other) == ["extractor"]
    assert unlike(clip, lpips) == []
