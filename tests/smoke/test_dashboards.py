"""What a run logs to W&B, csv and TensorBoard at once, read back from its files; and started again three times."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldmlab.studio.wandb_history import WandbHistory, history

pytest.importorskip("tensorboard")
pytest.importorskip("wandb_workspaces")

WORDS = (
    "logger=[csv,wandb,tensorboard]",
    "logger.wandb.tags=[tried]",
    "logger.wandb.artifacts=[model,metrics]",
    "callbacks=[default,evaluation]",
    "callbacks.evaluation.every_n_steps=2",
    "callbacks.evaluation.n=2",
    "grid_attention=true",
)
CURVES = {
    *("train/loss", "val/loss", "train/gradient_norm", "train/learning_rate", "images_per_second"),
    *("cost/tflops", "cost/data_wait", "cost/cpu_cores", "cost/host_memory_gib"),
    *(f"val/loss_q{quartile}" for quartile in (1, 2, 3, 4)),
    *("eval/FID-lite0", "eval/IS-lite0", "eval/diversity-lite0", "eval/accuracy/shape", "eval/accuracy/caption"),
    "eval/accuracy/caption_error",
}
Train = Callable[..., WandbHistory]


@pytest.fixture
def train(tiny: Any, autoencoder: Path, shards: Path, ldmlab: Any, tmp_path: Path) -> Train:
    """(words...) -> what a run in the folder `sweep/0` has logged so far."""

    def run(*words: str) -> WandbHistory:
        files = (f"data.path={shards}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
        done = ldmlab("train", *tiny["dit"], *WORDS, *files, f"output_dir={tmp_path}/sweep/0", *words)
        assert done.code == 0, done.err
        found = history(tmp_path / "sweep/0")
        assert found is not None
        return found

    return run


def test_all_that_a_run_logs_is_in_its_files(
    train: Train, ldmlab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = train(), tmp_path / "sweep/0"
    assert {name for name in CURVES if not run.curve(name)} == set()
    assert {f"train/loss_q{quartile}" for quartile in (1, 2, 3, 4)} & {name for row in run.rows for name in row}
    assert [step for step, _ in run.curve("train/loss")] == [0, 1, 2, 3]
    assert [step for step, _ in run.curve("eval/diversity-lite0")] == [1, 3]
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {name for name in rows[0] if name in CURVES} == CURVES
    for row, logged in zip(rows, run.rows, strict=True):
        assert {name: float(row[name]) for name in CURVES if row[name]} == pytest.approx(
            {name: logged[name] for name in CURVES if name in logged}
        )
    [piece] = run.files
    for kind, steps in {"pictures": [3], "attention": [3], "confusion": [1, 3]}.items():
        found = [row for row in run.rows if kind in row]
        assert [row["trainer/global_step"] for row in found] == steps
        assert all((piece.parent / "files" / name).is_file() for row in found for name in row[kind]["filenames"])
    assert "confusion/shape_table" in run.rows[-1]
    _require_settings(run)
    assert list(folder.glob("tensorboard/events.out.tfevents.*"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    done = ldmlab("dashboard", tmp_path / "sweep")
    assert "not uploaded (WANDB_MODE=offline)" in done.out
    assert sorted(path.name for path in (tmp_path / "sweep/dashboard").iterdir()) == ["report.json", "workspace.json"]
    assert "upload=true: WANDB_MODE=offline" in ldmlab("dashboard", tmp_path / "sweep", "upload=true").refusal()


def _require_settings(run: WandbHistory) -> None:
    """All that can be filtered by: flat, with the code."""
    assert (run.project, run.group, run.job_type) == ("ldmlab", "sweep", "train")
    assert [name for name, value in run.config.items() if isinstance(value, dict) and value] == []
    expected = {"backbone/width": 32, "optimizer/lr": 0.001, "seed": 0, "trainer/max_steps": 4}
    assert expected.items() <= run.config.items()
    assert {"commit", "versions/torch", "flops_per_image"} <= run.config.keys()


@pytest.mark.slow
def test_a_run_that_is_started_again_three_times_is_one_run(train: Train, tmp_path: Path) -> None:
    words = ("ckpt_path=auto", "scheduler=constant", "checkpoint_every=1", "trainer.val_check_interval=1")
    runs = [train(*words, f"trainer.max_steps={steps}") for steps in (3, 4, 6, 7)]
    assert [len(run.files) for run in runs] == [1, 2, 3, 4]
    assert len({run.run_id for run in runs}) == 1
    assert [step for step, _ in runs[-1].curve("train/loss")] == list(range(7))
    assert [step for step, _ in runs[-1].curve("val/loss")] == list(range(7))
