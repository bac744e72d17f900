from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldmlab.training.csv_log import Table, csv_logger


def rows(path: Path) -> list[dict[str, str]]:
    """Without the empty cells."""
    with open(path, newline="") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def test_a_step_has_one_row_whatever_comes_when(path: Path) -> None:
    table = Table(path)
    table.add(0, {"train/loss": 1.5})
    assert rows(path) == [{"step": "0", "train/loss": "1.5"}]
    table.add(4, {"train/loss": 0.1})
    table.add(4, {"val/loss": 2.0, "train/loss": 9.0})
    table.add(5, {"train/loss": 0.2, "a, b": 1})
    assert rows(path) == [
        {"step": "0", "train/loss": "1.5"},
        {"step": "4", "train/loss": "0.1", "val/loss": "2.0"},
        {"step": "5", "train/loss": "0.2", "a, b": "1"},
    ]


def test_going_back_drops_what_is_written_again_and_keeps_the_step_before(path: Path) -> None:
    for step in range(6):
        Table(path).add(step, {"train/loss": step})
    table = Table(path)
    table.go_back_to(4)
    table.add(3, {"val/loss": 1})
    table.add(4, {"train/loss": 40})
    assert [(row["step"], row["train/loss"], row.get("val/loss")) for row in rows(path)] == [
        ("0", "0", None), ("1", "1", None), ("2", "2", None), ("3", "3", "1"), ("4", "40", None),
    ]  # fmt: skip
    table.go_back_to(0)
    assert rows(path) == []


def test_what_a_kill_left_at_any_byte_is_gone_on_with(path: Path) -> None:
    table = Table(path)
    for step in range(3):
        table.add(step, {"train/loss": step + 0.125})
    content = path.read_bytes()
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        whole = content[:size].count(b"\n") - 1
        table = Table(path)
        assert (rows(path) if path.exists() else []) == [
            {"step": str(step), "train/loss": str(step + 0.125)} for step in range(max(0, whole))
        ]
        table.add(7, {"train/loss": 1.0, "new": 2.0})
        assert rows(path)[-1] == {"step": "7", "train/loss": "1.0", "new": "2.0"}
        assert len(rows(path)) == max(0, whole) + 1


def test_rows_are_on_their_way_at_once_and_old_ones_are_never_rewritten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(path)
    table.add(0, {"a": 1})
    monkeypatch.setattr("ldmlab.training.csv_log.atomic_file", None)
    before, inode = path.read_bytes(), path.stat().st_ino
    table.add(1, {"a": 2})
    assert path.read_bytes() == before + b"1,2\n"
    assert path.stat().st_ino == inode


def test_a_kill_while_a_column_is_added_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(path)
    table.add(0, {"a": 1})
    table.add(1, {"a": 2})
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        table.add(2, {"b": 2})
    assert path.read_bytes() == before


def test_a_file_of_lightnings_own_is_gone_on_with(path: Path) -> None:
    path.write_bytes(b"epoch,step,train/loss\r\n0,0,1.0\r\n0,1,2.0\r\n")
    Table(path).add(2, {"train/loss": 3.0, "epoch": 1, "val/loss": 4.0})
    assert [row["step"] for row in rows(path)] == ["0", "1", "2"]
    assert rows(path)[1:] == [
        {"epoch": "0", "step": "1", "train/loss": "2.0"},
        {"epoch": "1", "step": "2", "train/loss": "3.0", "val/loss": "4.0"},
    ]


def test_a_link_is_not_written_through(path: Path) -> None:
    mine = path.with_name("mine")
    mine.write_text("mine")
    path.symlink_to(mine)
    with pytest.raises(ValueError, match="is a link, and a run writes through none; remove it"):
        Table(path)
    assert mine.read_text() == "mine"


def test_settings_take_the_place_of_a_link(tmp_path: Path) -> None:
    mine, settings = tmp_path / "mine", tmp_path / "hparams.yaml"
    mine.write_text("mine")
    settings.symlink_to(mine)
    csv_logger(str(tmp_path)).log_hyperparams({"seed": 7, "path": None})
    assert settings.read_text() == "seed: 7\npath: null\n"
    assert mine.read_text() == "mine"


def test_a_full_disk_costs_rows_and_not_the_run(
    tmp_path: Path, full_disk: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    logger = csv_logger(str(tmp_path))
    logger.log_metrics({"a": 1}, 0)
    with full_disk((tmp_path / "metrics.csv").stat().st_size + 2):
        logger.log_metrics({"a": 22}, 1)
        logger.log_metrics({"a": 33}, 2)
    logger.log_metrics({"a": 4}, 3)
    assert [record.getMessage().partition(": rows")[2][:26] for record in caplog.records] == [
        " are missing from step 1 on"[:26]
    ]
    assert rows(tmp_path / "metrics.csv") == [{"step": "0", "a": "1"}, {"step": "3", "a": "4"}]
