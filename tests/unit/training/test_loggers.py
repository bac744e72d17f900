from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from ldmlab.training.callbacks.show import show
from ldmlab.training.csv_log import csv_logger
from ldmlab.training.wandb_run import wandb_logger


def test_a_resumed_run_adds_to_its_metrics(tmp_path: Path) -> None:
    for first, value in ((0, {"train/loss": 1.0}), (2, {"train/loss": 2.0, "val/loss": 3.0})):
        logger = csv_logger(str(tmp_path))
        for step in (first, first + 1):
            logger.log_metrics(value, step)
        logger.finalize("success")
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["train/loss"] for row in rows] == ["1.0", "1.0", "2.0", "2.0"]
    assert [row["val/loss"] for row in rows] == ["", "", "3.0", "3.0"]


def test_the_id_of_a_wandb_run_is_that_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, again, other = (wandb_logger(folder) for folder in (str(tmp_path / "a"), "a/", "b"))
    assert one.version == again.version != other.version
    assert len(str(one.version)) == 16


def test_a_wandb_run_is_grouped_by_the_folder_above(tmp_path: Path) -> None:
    settings = wandb_logger(str(tmp_path / "sweep/0"))._wandb_init
    assert settings["group"] == "sweep"
    assert settings["name"] == "0"
    assert settings["dir"] == str(tmp_path / "sweep/0")
    assert wandb_logger(str(tmp_path), group="mine", name="run")._wandb_init["group"] == "mine"


def test_wandb_is_told_the_step_of_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture stands at the step of its losses, and a resumed run goes on counting."""
    rows: list[tuple[set[str], int]] = []
    run: Any = SimpleNamespace(log=lambda row, step: rows.append((set(row), step)))
    logger = wandb_logger(str(tmp_path))
    monkeypatch.setattr(logger, "_experiment", run)
    logger.log_metrics({"train/loss": 1.0}, 49)  # Lightning's number of the 50th step
    trainer: Any = SimpleNamespace(loggers=[logger])
    show(trainer, "pictures", Image.new("RGB", (4, 4)), 50)
    assert rows == [({"train/loss", "trainer/global_step"}, 49), ({"pictures", "trainer/global_step"}, 49)]
