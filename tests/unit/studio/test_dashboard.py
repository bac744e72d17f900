"""The specifications of a dashboard: all that was logged has its panel, and the runs are ranked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wandb_workspaces")

from ldmlab.studio.dashboard import build_dashboard, write_specifications
from ldmlab.studio.logged_runs import LoggedRuns
from ldmlab.studio.wandb_history import STEP, WandbHistory

PICTURE = {"_type": "images/separated", "filenames": ["a.png"]}


def logged(**configs: dict[str, Any]) -> LoggedRuns:
    runs = {}
    for number, (name, config) in enumerate(configs.items()):
        last = {
            "train/loss": 1.0,
            "val/loss": 2.0 - number,
            "train/loss_q1": 1.0,
            "train/loss_q2": 1.0,
            "cost/mfu": 0.3,
        }
        media = {"pictures": PICTURE, "confusion/shape_table": {"_type": "table-file"}}
        rows = [
            {
                STEP: 4,
                "train/learning_rate": 0.1,
                "eval/FID": 9.0,
                "eval/FID_error": 0.5,
                "images_per_second": 3.0,
                **last,
                **media,
            }
        ]
        runs[name] = WandbHistory(f"id{name}", "project", "sweep", "train", config, rows, [])
    return LoggedRuns(Path("runs/sweep"), runs)


def shown(panels: list[dict[str, Any]]) -> list[Any]:
    return [panel["config"].get("metrics") or panel["config"].get("mediaKeys") or panel["viewType"] for panel in panels]


def test_a_sweep_has_its_panels_and_a_ranked_table(tmp_path: Path) -> None:
    runs = logged(a={"optimizer/lr": 0.1}, b={"optimizer/lr": 0.2})
    dashboard = build_dashboard(runs, "val/loss", lowest=True, name="sweep", entity="team", project="project")
    paths = write_specifications(dashboard, tmp_path / "dashboard")
    workspace, report = (json.loads(path.read_text()) for path in paths)
    section = workspace["spec"]["section"]
    panels = {each["name"]: shown(each["panels"]) for each in section["panelBankConfig"]["sections"]}
    assert panels["Loss"] == [["train/loss"], ["val/loss"], ["train/loss_q1", "train/loss_q2"]]
    assert panels["Optimisation"] == [["train/learning_rate"]]
    assert panels["Evaluation"] == [["eval/FID"]]
    assert panels["Speed and memory"] == [["images_per_second"], ["cost/mfu"]]
    assert panels["Pictures"] == [["pictures"]]
    assert len(panels["Confusion"]) == 1
    assert len(panels["Sweep"]) == 4
    [runset] = section["runSets"]
    assert runset["filters"]["filters"][0]["value"] == "sweep"
    assert "config:optimizer/lr" in runset["runFeed"]["columnPinned"]
    text = json.dumps(report)
    assert "| b | 1 | 0.2 |\\n| a | 2 | 0.1 |" in text
    assert workspace["entity"] == "team"


def test_of_a_large_figure_the_best_comes_first() -> None:
    runs = logged(a={"seed": 0}, b={"seed": 1})
    dashboard = build_dashboard(runs, "val/loss", lowest=False, name="n", entity="", project="p")
    assert "| a | 2 | 0 |\\n| b | 1 | 1 |" in dashboard.specifications()["report"]


def test_a_figure_stands_beside_its_standard_error() -> None:
    dashboard = build_dashboard(
        logged(a={"seed": 0}, b={"seed": 1}), "eval/FID", True, name="n", entity="", project="p"
    )
    assert "| a | 9.00 +- 0.50 | 0 |" in dashboard.specifications()["report"]


def test_one_run_is_found_by_its_id() -> None:
    dashboard = build_dashboard(logged(a={"seed": 0}), "val/loss", lowest=True, name="n", entity="", project="p")
    assert "ida" in dashboard.specifications()["workspace"]


def test_a_figure_that_was_not_logged_is_refused_with_those_that_were() -> None:
    with pytest.raises(ValueError, match=r"figure=val/los: no run has logged it; choose one of .*val/loss"):
        build_dashboard(logged(a={}), "val/los", lowest=True, name="n", entity="", project="p")
