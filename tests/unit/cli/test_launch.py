from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from ldmlab.cli.errors import UserError
from ldmlab.cli.launch import launch

Body = Callable[[Callable[[DictConfig], None]], None]


@pytest.fixture
def seen(body: Body) -> list[DictConfig]:
    """The configs that the command was run with."""
    configs: list[DictConfig] = []
    body(configs.append)
    return configs


def test_command_gets_its_config(seen: list[DictConfig], tmp_path: Path) -> None:
    launch("sample", ["a ${red} star", "sampler=ddpm", "n=3", "output_dir=out"])
    assert OmegaConf.to_container(seen[0].prompts, resolve=True) == ["a ${red} star"]
    assert seen[0].sampler._target_.endswith("DDPM")
    assert seen[0].n == 3
    assert seen[0].output_dir == str(tmp_path / "out")
    assert "hydra" not in seen[0]


def test_run_folder_holds_the_config(seen: list[DictConfig], tmp_path: Path) -> None:
    launch("sample", ["seed=5"])
    (folder,) = (tmp_path / "runs/sample").iterdir()
    assert seen[0].output_dir == str(folder)
    assert OmegaConf.load(folder / ".hydra/config.yaml").seed == 5


def test_hydra_run_dir_is_output_dir(seen: list[DictConfig], tmp_path: Path) -> None:
    launch("sample", ["hydra.run.dir=elsewhere"])
    assert seen[0].output_dir == str(tmp_path / "elsewhere")


def test_sweep_runs_each_job_in_its_folder(seen: list[DictConfig], tmp_path: Path) -> None:
    launch("sample", ["-m", "seed=1,2", "output_dir=out"])
    assert [config.seed for config in seen] == [1, 2]
    assert [config.output_dir for config in seen] == [str(tmp_path / "out/0"), str(tmp_path / "out/1")]


def test_sweep_goes_on_after_a_failed_job(body: Body) -> None:
    done = []

    def run(config: DictConfig) -> None:
        if config.seed == 1:
            raise ValueError("seed=1: no")
        done.append(config.seed)

    body(run)
    with pytest.raises(ValueError, match="seed=1: no"):
        launch("sample", ["-m", "seed=0,1,2", "output_dir=out"])
    assert done == [0, 2]


def test_nothing_runs_or_is_written_when_the_config_is_wrong(seen: list[DictConfig], tmp_path: Path) -> None:
    for argv in (["sampler.stesp=1"], ["-m", "seed=0,-1"], ["+nonsense=1"]):
        with pytest.raises(UserError):
            launch("sample", argv)
    assert not seen
    assert not list(tmp_path.iterdir())


def test_cfg_job_prints_and_does_not_run(
    seen: list[DictConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch("sample", ["--cfg", "job", "seed=9"])
    assert OmegaConf.create(capsys.readouterr().out).seed == 9
    assert not seen
    assert not list(tmp_path.iterdir())


def test_cfg_job_refuses_unknown_keys(seen: list[DictConfig]) -> None:
    with pytest.raises(UserError, match="unknown key"):
        launch("sample", ["--cfg", "job", "+nonsense=1"])


def test_config_dir_brings_further_options(seen: list[DictConfig], tmp_path: Path) -> None:
    group = tmp_path / "my, conf/sampler"
    group.mkdir(parents=True)
    (group / "mine.yaml").write_text("_target_: mine.Sampler\nstride: 2\n")
    launch("sample", ["--config-dir", str(group.parent), "sampler=mine", "sampler.stride=3"])
    assert OmegaConf.to_container(seen[0].sampler) == {"_target_": "mine.Sampler", "stride": 3}
    launch("sample", ["-m", "--config-dir", str(group.parent), "sampler=mine,ddim"])
    assert len(seen) == 3
    with pytest.raises(UserError, match="did you mean 'mine'"):
        launch("sample", ["--config-dir", str(group.parent), "sampler=mnie"])


def test_the_process_is_left_as_it_was(seen: list[DictConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    argv = list(sys.argv)
    launch("sample", [])
    assert sys.argv == argv
    assert "HYDRA_FULL_ERROR" not in os.environ


def test_a_refused_run_leaves_neither_its_folder_nor_a_log_that_wants_it(body: Body, tmp_path: Path) -> None:
    def refuse(config: DictConfig) -> None:
        raise ValueError("seed=1: no")

    body(refuse)
    with pytest.raises(ValueError, match="seed=1: no"):
        launch("sample", ["output_dir=out"])
    logging.getLogger().warning("said after the run")
    assert not (tmp_path / "out").exists()
