"""Optuna over trainings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")

PLANTED = """
import lightning as L


class Planted(L.Callback):
    def __init__(self, at):
        self.at = at

    def on_validation_epoch_end(self, trainer, module):
        module.log("val/planted", (self.at - 0.3) ** 2)
"""


@pytest.mark.slow
def test_optuna_finds_a_planted_minimum_in_ten_trainings(
    tiny: dict[str, tuple[str, ...]],
    shards: Path,
    ldmlab: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(tmp_path)
    search = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=10", "hydra.sweeper.n_jobs=1"]
    search += ["hydra.sweeper.sampler.n_startup_trials=4", "+callbacks.planted.at=interval(0,1)", "figure=val/planted"]
    words = [*tiny["autoencoder"], f"data.path={shards}", "+callbacks.planted._target_=planted.Planted"]
    words += ["trainer.max_steps=2", "trainer.val_check_interval=2", "scheduler.warmup_steps=0", "grid_every=99"]
    folder = tmp_path / "search"
    done = ldmlab("train", *search, *words, f"output_dir={folder}")
    assert done.code == 0, done.err
    best = OmegaConf.load(folder / "optimization_results.yaml")
    assert best.best_value < 0.05**2
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/last.ckpt")}
    assert len(before) == 10
    again = ldmlab("train", *search, *words, f"output_dir={folder}")  # draws the same trials, which are done
    assert again.code == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/last.ckpt")} == before
    assert OmegaConf.load(folder / "optimization_results.yaml") == best
