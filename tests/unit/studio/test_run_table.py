"""`ldmlab runs`: what runs have left in their folders, side by side."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from ldmlab.cli.launch import launch
from ldmlab.configs.errors import UserError
from ldmlab.status import Status
from ldmlab.studio.run_records import find_runs, flat_settings, read_run
from ldmlab.studio.run_table import differing, ordered

CONFIG = """\
optimizer:
  _target_: torch.optim.AdamW
  lr: {lr}
seed: {seed}
figure: val/loss
figure_mode: {mode}
output_dir: runs/{lr}
grid_prompts:
- a red star
- 'a: b'
"""


def add_run(
    folder: Path, lr: str, seed: int, rows: list[Mapping[str, object]], status: Status | None = None, mode: str = "min"
) -> None:
    """The folder of a run, as training leaves it."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/config.yaml").write_text(CONFIG.format(lr=lr, seed=seed, mode=mode))
    (folder / ".hydra/overrides.yaml").write_text(f"- optimizer.lr={lr}\n- seed={seed}\n")
    if rows:
        with open(folder / "metrics.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)
    if status is not None:
        status.write(folder)


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three trainings, of which one failed, and an evaluation elsewhere."""
    monkeypatch.chdir(tmp_path)

    def judged(value: float) -> dict[str, object]:
        return {"name": "val/loss", "value": value}

    root = tmp_path / "runs"
    rows = [{"step": 0, "train/loss": 1.0}, {"step": 9, "train/loss": 0.5, "val/loss": 0.25}]
    add_run(root / "a/2", "0.1", 0, rows, Status("train", "done", step=10, steps=10, figure=judged(0.25)))
    add_run(root / "a/10", "0.01", 0, rows[:1], Status("train", "failed", error="out of memory; lower it"))
    add_run(root / "a/9", "0.001", 0, rows, Status("train", "done", step=10, steps=10, figure=judged(0.125)))
    add_run(root / "b", "0.1", 7, [], Status("evaluate", "done", figure={"name": "fid", "value": 12.0}))
    (root / "b/metrics.csv").unlink(missing_ok=True)
    (root / "b/metrics.json").write_text(json.dumps({"metrics": {"fid": 12.0, "psnr": None}, "manifest": {"n": 3}}))
    (root / "a/multirun.yaml").touch()
    return root


def printed(out: str) -> list[list[str]]:
    return [re.split(r" *[│┃] *", line)[1:-1] for line in out.splitlines() if line[:1] in "│┃" and line]


def test_a_table_sorted_by_the_figure(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("runs", ["runs/a"])
    out = capsys.readouterr().out
    assert printed(out) == [
        ["run", "state", "step", "val/loss", "train/loss", "optimizer.lr"],
        ["9", "done", "10/10", "0.125", "0.5", "0.001"],
        ["2", "done", "10/10", "0.25", "0.5", "0.1"],
        ["10", "failed", "", "", "1", "0.01"],
    ]
    assert "10: out of memory; lower it\n" in out


def test_other_orders_figures_and_a_csv(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch("runs", ["runs", "sort=-optimizer.lr", "figures=[fid]", "csv=all.csv"])
    assert [row[0] for row in printed(capsys.readouterr().out)] == ["run", "a/2", "b", "a/10", "a/9"]
    with open("all.csv", newline="") as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert [*rows["b"]] == ["run", "state", "step", "val/loss", "fid", "train/loss", "psnr", "optimizer.lr", "seed"]
    assert (rows["b"]["fid"], rows["b"]["psnr"], rows["b"]["seed"]) == ("12.0", "inf", "7")
    assert (rows["a/9"]["step"], rows["a/9"]["train/loss"], rows["a/10"]["val/loss"]) == ("10", "0.5", "")
    with pytest.raises(ValueError, match=r"sort=lr: no run has such a figure or setting; choose one of val/loss, "):
        launch("runs", ["sort=lr"])


def test_where_there_is_nothing_to_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^folder=runs: no such folder; give one that runs have written to"):
        launch("runs", [])
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match=r"^folder=runs: no run has written there"):
        launch("runs", [])


def test_large_figures_may_be_the_good_ones(tmp_path: Path) -> None:
    for name, value in {"a": 1.0, "b": 3.0, "c": 2.0}.items():
        done = Status("train", "done", figure={"name": "psnr", "value": value})
        add_run(tmp_path / name, "1", 0, [], done, mode="max")
    assert [run.folder.name for run in ordered(find_runs(tmp_path), None)] == ["b", "c", "a"]


def test_what_tells_runs_apart_without_overrides(tmp_path: Path) -> None:
    for seed in (1, 2):
        add_run(tmp_path / str(seed), "0.1", seed, [])
        (tmp_path / f"{seed}/.hydra/overrides.yaml").unlink()
    assert differing(find_runs(tmp_path)) == ["seed"]


def test_values_in_quotes_are_shown_without_them(tmp_path: Path) -> None:
    add_run(tmp_path, "0.1", 1, [])
    lines = """- filter.where="aesthetic > 5"\n- 'words=["a: b","c"]'\n- '+x="y"'\n"""
    (tmp_path / ".hydra/overrides.yaml").write_text(lines)
    given = {"filter.where": "aesthetic > 5", "words": '["a: b","c"]', "x": "y"}
    assert find_runs(tmp_path)[0].overrides == given


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (None, "waiting"),
        (Status("train", "running", host="elsewhere"), "died"),
        (Status("train", "running", host=os.uname().nodename, pid=os.getpid()), "running"),
        (Status("train", "running", host=os.uname().nodename, pid=2**22 + 1), "died"),
        (Status("train", "stopped"), "stopped"),
    ],
)
def test_states(status: Status | None, state: str, tmp_path: Path) -> None:
    add_run(tmp_path / "a", "1", 0, [], status)
    assert read_run(tmp_path / "a").state == state


def test_a_writer_on_another_host_is_seen_by_its_lock(tmp_path: Path) -> None:
    add_run(tmp_path / "a", "1", 0, [], Status("train", "running", host="elsewhere"))
    (tmp_path / "a/.lock").touch()
    assert read_run(tmp_path / "a").state == "running"
    os.utime(tmp_path / "a/.lock", (1, 1))
    assert read_run(tmp_path / "a").state == "died"


def test_settings_are_read_without_parsing_them() -> None:
    found = list(flat_settings(CONFIG.format(lr="1e-3", seed=5, mode="min")))
    assert ("optimizer.lr", "1e-3") in found
    assert [value for key, value in found if key == "grid_prompts"] == ["a red star", "'a: b'"]
