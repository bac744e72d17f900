from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig

from ldmlab.cli.launch import launch


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[DictConfig]:
    configs: list[DictConfig] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ldmlab.cli.run.run_here", lambda name, command, config: configs.append(config))
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    (tmp_path / "data").mkdir()
    return configs


def test_a_requeued_job_finds_its_folder_and_goes_on(trained: list[DictConfig], tmp_path: Path) -> None:
    for words in (["seed=1"], ["seed=1"], ["seed=2"]):
        launch("train", ["data.path=data", *words])
    first, again, other = (Path(config.output_dir) for config in trained)
    assert first == again != other
    assert first.parent == tmp_path / "runs/train"
    assert first.name.startswith("slurm-12-")
    assert all(config.ckpt_path == "auto" for config in trained)


def test_what_the_user_names_stays(trained: list[DictConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    launch("train", ["data.path=data", "output_dir=mine"])
    assert (trained[0].output_dir, trained[0].ckpt_path) == (str(tmp_path / "mine"), None)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    launch("train", ["data.path=data", "output_dir=mine"])
    launch("train", ["data.path=data", "output_dir=mine", "ckpt_path=last"])
    assert [config.ckpt_path for config in trained[1:]] == ["auto", "last"]
