"""Pieces of one W&B run, one a start, read as one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ldmlab.metrics.scenes.confusion import Confusion
from ldmlab.studio.logged_runs import LoggedRuns
from ldmlab.studio.wandb_file import WandbFile, read_wandb_file, records
from ldmlab.studio.wandb_history import STEP, WandbHistory, history, merged
from ldmlab.training.wandb_run import wandb_finished, wandb_logger


def piece(*steps: int, **values: float) -> WandbFile:
    return WandbFile(rows=[{STEP: step, **values} for step in steps])


def test_what_a_later_start_did_again_is_its_own() -> None:
    rows = merged([piece(0, 1, 2, 3, loss=1.0), WandbFile(), piece(2, 3, 4, loss=2.0)])
    assert [(row[STEP], row["loss"]) for row in rows] == [(0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0), (4, 2.0)]


def test_a_start_may_add_to_the_last_row_of_the_one_before() -> None:
    assert merged([piece(0, 1, loss=1.0), piece(1, val=3.0)]) == [
        {STEP: 0, "loss": 1.0},
        {STEP: 1, "loss": 1.0, "val": 3.0},
    ]


@pytest.fixture(scope="module")
def requeued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was started four times, each time two steps further on and one step back."""
    folder = tmp_path_factory.mktemp("sweep") / "0"
    for start in range(4):
        while len(list(folder.glob(f"wandb/*{time.strftime('%Y%m%d_%H%M%S')}*"))):
            time.sleep(0.1)  # W&B calls a piece by the second in which it begins
        with wandb_finished():
            logger = wandb_logger(str(folder), artifacts=["metrics"])
            logger.log_hyperparams({"optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}, "start": start, "none": {}})
            for step in range(2 * start, 2 * start + 3):
                logger.log_metrics({"train/loss": 10.0 * start + step}, step)
            logger.log_image("pictures", [Image.new("RGB", (4, 4))], step=2 * start + 2)
            logger.log_confusion("confusion/shape", Confusion(("a",), ("a", "nothing"), [[3, 1]]), 2 * start + 2)
            (folder / "metrics.csv").write_text("step\n")
            logger.keep(folder / "metrics.csv")
            logger.keep_artifacts(folder)
    return folder


@pytest.mark.slow
def test_a_run_that_was_requeued_three_times_is_one_run(requeued: Path) -> None:
    run = history(requeued)
    assert run is not None
    assert len(run.files) == 4
    assert {read_wandb_file(path).run_id for path in run.files} == {run.run_id}
    assert (run.project, run.group, run.job_type) == ("ldmlab", requeued.parent.name, "train")
    assert run.curve("train/loss") == [(0, 0.0), (1, 1.0), (2, 12.0), (3, 13.0), (4, 24.0), (5, 25.0), (6, 36.0),
                                       (7, 37.0), (8, 38.0)]  # fmt: skip


def test_settings_are_flat_and_those_of_the_last_start(requeued: Path) -> None:
    run = history(requeued)
    assert run is not None
    assert run.config == {"optimizer/lr": 0.1, "optimizer/betas": [0.9, 0.99], "start": 3, "none": {}}


def test_pictures_tables_and_artifacts_are_there(requeued: Path) -> None:
    run = history(requeued)
    assert run is not None
    pictures = [row["pictures"] for row in run.rows if "pictures" in row]
    assert len(pictures) == 4
    for path, row in zip(run.files, pictures, strict=True):
        assert (path.parent / "files" / row["filenames"][0]).is_file()
        assert (path.parent / "files/metrics.csv").exists()
    runs = LoggedRuns.read(requeued.parent)
    assert (list(runs.runs), runs.curves) == (["0"], ["train/loss"])
    assert (runs.pictures, runs.tables) == (["pictures"], ["confusion/shape_table"])


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(requeued: Path) -> None:
    path = sorted(requeued.glob("wandb/offline-run-*/run-*.wandb"))[0]
    data = path.read_bytes()
    whole = list(records(data, path))
    assert whole[: len(whole) // 2]
    for end in range(len(data) - 200, len(data), 7):
        part = list(records(data[:end], path))
        assert part == whole[: len(part)]


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wandb/offline-run-1/run-1.wandb"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"run-1\.wandb: is no file of a W&B run"):
        history(tmp_path)


def test_a_folder_without_wandb_has_no_history(tmp_path: Path) -> None:
    assert history(tmp_path) is None
    with pytest.raises(ValueError, match="holds nothing that W&B has logged"):
        LoggedRuns.read(tmp_path)


@pytest.fixture
def run() -> Callable[..., WandbHistory]:
    """(settings, rows) -> what was logged."""

    def make(config: dict[str, Any], *rows: dict[str, Any]) -> WandbHistory:
        return WandbHistory("id", "p", "g", "train", config, [{STEP: i, **row} for i, row in enumerate(rows)], [])

    return make


def test_settings_that_differ_are_told_without_those_that_follow(run: Callable[..., WandbHistory]) -> None:
    configs = [
        {"seed": s, "data/seed": s, "optimizer/lr": lr, "output_dir": f"{s}{lr}", "betas": [s], "width": 3}
        for s, lr in ((0, 0.1), (1, 0.1), (0, 0.2))
    ]
    runs = LoggedRuns(Path("x"), {str(i): run(config, {"val/loss": i}) for i, config in enumerate(configs)})
    assert runs.settings == ["optimizer/lr", "seed"]
    assert runs.last("val/loss") == {"0": 0, "1": 1, "2": 2}
