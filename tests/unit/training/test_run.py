"""A run as a user of Lightning's sets it up: tried out, profiled, stopped early, with callbacks of one's own."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hydra import compose

from ldmlab.configs.compose import hydra_at_conf
from ldmlab.configs.training import train_from
from ldmlab.models.checkpoints import read_checkpoint, read_lightning

CALLBACK = """
import lightning as L

class Mine(L.Callback):
    seen = []

    def __init__(self, word):
        self.word = word

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        Mine.seen.append((self.word, trainer.global_step, [name for name in batch["keys"]]))
"""
Train = Callable[..., float | None]


@pytest.fixture
def train(tiny: dict[str, tuple[str, ...]], shards: Path, tmp_path: Path) -> Train:
    """(overrides...) -> what the run of a tiny autoencoder returns, in the folder `run`."""

    def run(*overrides: str, kind: str = "autoencoder") -> float | None:
        own = [word for word in tiny[kind] if not word.startswith("grid_every")]
        with hydra_at_conf("train"):
            words = [*own, "grid_every=100", f"data.path={shards}", f"output_dir={tmp_path / 'run'}", *overrides]
            cfg = compose("train", words)
        return train_from(cfg)

    return run


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_that_is_tried_out_leaves_nothing(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watching = "callbacks=[default,early_stopping,best]"
    assert train("trainer.fast_dev_run=true", watching, "scheduler.warmup_steps=3") is not None
    assert "fast_dev_run: 1 step(s) of training and validation went well; nothing is saved" in capsys.readouterr().out
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


def test_a_run_of_epochs_on_the_same_batches_with_two_loggers_a_profiler_and_ones_own(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs of the same three batches."""
    pytest.importorskip("tensorboard")
    own = tmp_path / "conf"
    for path, text in {
        "../own_callback.py": CALLBACK,
        "callbacks/mine.yaml": "mine:\n  _target_: own_callback.Mine\n  word: hello\n",
        "scheduler/own.yaml": "_target_: torch.optim.lr_scheduler.PolynomialLR\n_partial_: true\ntotal_iters: 6\n",
    }.items():
        (own / path).parent.mkdir(parents=True, exist_ok=True)
        (own / path).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    figure = train(
        f"hydra.searchpath=[file://{own}]", "callbacks=[default,mine,learning_rate_monitor]", "scheduler=own",
        "~scheduler.warmup_steps", "logger=[csv,tensorboard]", "trainer.profiler=simple", "trainer.max_steps=null",
        "trainer.max_epochs=2", "trainer.overfit_batches=3", "trainer.val_check_interval=1.0",
    )  # fmt: skip
    from own_callback import Mine  # type: ignore[import-not-found]

    assert [seen[:2] for seen in Mine.seen] == [("hello", step) for step in range(1, 7)]
    batches = [seen[2] for seen in Mine.seen]
    assert batches[:3] == batches[3:]
    assert batches[0] != batches[1]
    found = rows(tmp_path / "run")
    rates = [float(row["lr-Adam"]) for row in found]
    assert rates == pytest.approx([1e-3 * (1 - step / 6) for step in range(6)])
    assert figure == pytest.approx(float(found[-1]["val/psnr"]))
    assert [row["step"] for row in found if row["val/psnr"]] == ["2", "5"]
    assert list((tmp_path / "run/tensorboard").glob("events.*"))
    assert "run_training_epoch" in (tmp_path / "run/fit-profile.txt").read_text()
    assert read_lightning(tmp_path / "run/last.ckpt")["global_step"] == 6


def test_a_run_that_gets_no_better_ends_and_names_its_best(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It is exported from its last step, and goes on from there where that is asked for."""
    folder = tmp_path / "run"
    words = ("callbacks=[default,early_stopping,best]", "callbacks.early_stopping.min_delta=1000")
    words += ("trainer.max_steps=9", "trainer.val_check_interval=2", "checkpoint_every=100")
    with caplog.at_level(logging.WARNING):
        figure = train(*words, "callbacks.early_stopping.patience=1", "callbacks.best.save_top_k=2")
    assert "the run ends at step 4 of 9: Monitored metric val/psnr did not improve" in caplog.text
    names = [f"step-{step:07d}.ckpt" for step in (2, 4)]
    scores = [float(row["val/psnr"]) for row in rows(folder) if row["val/psnr"]]
    ranked = sorted(zip(scores, names, strict=True), reverse=True)
    told = [f"best: {folder / 'best' / name} (val/psnr {score:.4g})" for score, name in ranked]
    assert capsys.readouterr().out.splitlines()[-3:] == [*told, f"model: {folder / 'model.safetensors'}"]
    assert figure == pytest.approx(scores[-1])
    assert read_checkpoint(folder / "best" / names[0]).config["model"] == "autoencoder"
    assert [read_lightning(folder / place)["global_step"] for place in ("last.ckpt", f"best/{names[1]}")] == [4, 4]

    whole = train(
        "callbacks=[default,best]", "callbacks.best.save_top_k=2", "trainer.max_steps=6",
        "trainer.val_check_interval=2", "checkpoint_every=100", "ckpt_path=last",
    )  # fmt: skip
    found = rows(folder)
    assert [row["step"] for row in found] == [str(step) for step in range(6)]
    assert whole == pytest.approx(float(found[-1]["val/psnr"]))
    kept = sorted((float(row["val/psnr"]), int(row["step"]) + 1) for row in found if row["val/psnr"])[-2:]
    assert {path.name for path in (folder / "best").iterdir()} == {f"step-{step:07d}.ckpt" for _, step in kept}


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["~callbacks.last"], "callbacks: without `last` there is no checkpoint"),
        (["callbacks=[default,best]", "callbacks.best.monitor=loss"], "could not find the monitored key"),
        (["scheduler=step", "~scheduler.warmup_steps", "scheduler.interval=batch"], r"scheduler\.interval=batch"),
    ],
    ids=str,
)
def test_what_could_not_be_run_is_one_line(train: Train, overrides: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told) as refusal:
        train(*overrides)
    assert "\n" not in str(refusal.value)


def test_each_start_has_the_whole_of_max_time(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = count()  # between two looks at the clock of Lightning's timer
    monkeypatch.setattr("lightning.pytorch.callbacks.timer.time.monotonic", lambda: float(next(seconds)))
    steps = []
    for _ in range(2):
        train("trainer.max_steps=1000", "trainer.max_time={seconds: 12}", "ckpt_path=auto", "~callbacks.grids")
        steps.append(read_lightning(tmp_path / "run" / "last.ckpt")["global_step"])
    assert 0 < steps[0] < steps[1] < 1000
    assert "is over; ckpt_path=auto with the same output_dir goes on" in caplog.text


def test_a_figure_that_is_not_logged_is_named(train: Train, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert train("figure=val/fid", "trainer.max_steps=3", "trainer.val_check_interval=3") is None
    assert "figure=val/fid: was not logged; choose one of" in caplog.text
