"""The script that draws the studies' curves, on runs that have little or nothing to show."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

from ldmlab.paths import experiments_dir


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """(words...) -> what is printed."""

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["curves.py", *map(str, words)])
        run_path(str(experiments_dir() / "curves.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_a_run_shorter_than_the_interval_of_its_log_has_its_last_step(
    tiny: dict[str, tuple[str, ...]],
    shards: Path,
    ldmlab: Callable[..., Any],
    tmp_path: Path,
    curves: Callable[..., str],
) -> None:
    words = [*tiny["autoencoder"], "trainer.log_every_n_steps=50", "trainer.val_check_interval=50"]
    done = ldmlab("train", *words, f"data.path={shards}", f"output_dir={tmp_path / 'run'}", "trainer.max_steps=3")
    assert done.code == 0, done.err
    table = curves("training", tmp_path / "run", "--y", "train/loss").splitlines()
    assert table[0] == "| train/loss | 2 |"
    assert table[2].startswith("| run | ")
    with pytest.raises(SystemExit, match=r"--y val/loss: .*metrics.csv has no such figures; it has epoch, .*loss"):
        curves("training", tmp_path / "run", "--y", "val/loss")


def test_nothing_to_draw_is_told_in_one_line(tmp_path: Path, curves: Callable[..., str]) -> None:
    with pytest.raises(SystemExit, match=r"metrics.csv: no such file"):
        curves("training", tmp_path, "--y", "train/loss")
    with pytest.raises(SystemExit, match=r"no metrics.json below"):
        curves("sweep", tmp_path, "--y", "FID")
    (tmp_path / "metrics.json").write_text(json.dumps({"manifest": {"steps": 3}, "metrics": {"IS": 2.0}}))
    with pytest.raises(SystemExit, match=r"--y FID: .* has no such figure; it has IS"):
        curves("sweep", tmp_path, "--y", "FID")
    with pytest.raises(SystemExit, match=r"sampler_config.steps: no such entry in a manifest; it has steps"):
        curves("sweep", tmp_path, "--y", "IS", "--by", "steps")
