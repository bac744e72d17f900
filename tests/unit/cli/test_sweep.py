"""Sweeps: what is checked, what is left out, and what is told at the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf

from ldmlab.cli import run as runs
from ldmlab.cli.errors import JobsFailedError
from ldmlab.cli.launch import launch
from ldmlab.configs.errors import UserError
from ldmlab.configs.hydra_errors import in_one_line
from ldmlab.status import Status, read_status

Body = Callable[..., None]


@pytest.fixture
def seeds(body: Body) -> list[int]:
    """The seeds that `ldmlab sample` was run with, and a body that fails for seed 1."""
    found: list[int] = []

    def run(config: DictConfig) -> float:
        found.append(config.seed)
        Path(config.output_dir, "00000.png").touch()
        if config.seed == 1:
            raise ValueError("seed=1: no")
        return float(config.seed)

    body(run)
    return found


def test_what_is_done_is_left_out_when_a_sweep_is_started_again(
    seeds: list[int], body: Body, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(JobsFailedError, match=r"^1 of 3 jobs are not done: 1 \(failed\)"):
        launch("sample", ["-m", "seed=0,1,2", "output_dir=out"])
    again: list[int] = []
    body(lambda config: again.append(config.seed))
    launch("sample", ["-m", "seed=0,1,2", "output_dir=out"])
    assert (seeds, again) == ([0, 1, 2], [1])
    launch("sample", ["-m", "seed=0,1,2,3", "output_dir=out"])
    assert again == [1, 3]
    launch("sample", ["-m", "seed=0", "n=3", "output_dir=out"])  # as many pictures as one likes
    assert again == [1, 3, 0]
    assert OmegaConf.load("out/0/.hydra/config.yaml").n == 3
    assert re.search(r"│ 1 +│ done +│", capsys.readouterr().out)


def test_a_table_tells_of_every_job(seeds: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(JobsFailedError):
        launch("sample", ["-m", "seed=3,1", "guidance.scale=1.5,2", "output_dir=out"])
    lines = [re.split(r" *[│┃] *", line)[1:-1] for line in capsys.readouterr().out.splitlines() if line[:1] in "│┃"]
    assert lines == [
        ["run", "state", "step", "figure", "seed", "guidance.scale"],
        ["0", "done", "", "3", "3", "1.5"],
        ["1", "done", "", "3", "3", "2"],
        ["2", "failed", "", "", "1", "1.5"],
        ["3", "failed", "", "", "1", "2"],
    ]


def test_a_job_that_was_killed_is_not_done(seeds: list[int], tmp_path: Path) -> None:
    launch("sample", ["-m", "seed=0,2", "output_dir=out"])
    Status("sample", "running", host="elsewhere", pid=1).write(tmp_path / "out/1")
    launch("sample", ["-m", "seed=0,2", "output_dir=out"])
    assert seeds == [0, 2, 2]


def test_training_goes_on_in_a_sweep_that_is_started_again(body: Body, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    paths: list[str | None] = []

    def run(config: DictConfig) -> float:
        paths.append(config.ckpt_path)
        Path(config.output_dir, "last.ckpt").touch()
        if len(paths) < 3:
            raise ValueError("no")
        return 0.5

    body(run, "train")
    words = ["-m", "data.path=data", "seed=0,1", "output_dir=out"]
    with pytest.raises(JobsFailedError):
        launch("train", words)
    launch("train", [*words, "trainer.max_steps=9"])
    assert paths == [None, None, "auto", "auto"]
    assert read_status(tmp_path / "out/1").figure == {"name": "val/loss", "value": 0.5}
    with pytest.raises(UserError, match=r"out/0: holds another run \(it had seed=0, this one has seed=1\)"):
        launch("train", ["-m", "data.path=data", "seed=1,0", "output_dir=out"])


def test_jobs_that_differ_in_numbers_are_checked_whole_once(seeds: list[int]) -> None:
    with patch.object(runs, "check", wraps=runs.check) as check:
        launch("sample", ["-m", "seed=2,3", "sampler=ddim,ddpm", "output_dir=out"])
    assert (check.call_count, seeds) == (2, [2, 2, 3, 3])
    configs = [OmegaConf.load(f"out/{job}/.hydra/config.yaml") for job in range(4)]
    assert [config.seed for config in configs] == [2, 2, 3, 3]
    assert [config.sampler._target_.rpartition(".")[2] for config in configs] == ["DDIM", "DDPM"] * 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["seed=0,1,-1"], "seed=-1: input should be greater than or equal to 0"),
        pytest.param(["seed=0,1,2.5"], "seed=2.5: this key takes a whole number", marks=pytest.mark.slow),
        (["guidance.scale=1,2,big"], "guidance.scale=big: this key takes a number"),
        pytest.param(
            ["guidance.scale=1,2,inf"], "guidance.scale=inf: this key takes a finite number", marks=pytest.mark.slow
        ),
        (["sampler=ddim,dimm", "seed=1,2"], "group 'sampler' has no option 'dimm'; did you mean 'ddim'?"),
        pytest.param(
            ["n=4,5,0", "seed=1,2"], "n=0: input should be greater than or equal to 1", marks=pytest.mark.slow
        ),
    ],
)
def test_a_mistake_in_any_job_is_told_before_the_first_one_starts(
    words: list[str], told: str, seeds: list[int], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(told)}"):
        launch("sample", ["-m", *words, "output_dir=out"])
    assert not seeds
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "extra"), [("launcher/joblib", "sweep"), ("launcher/submitit_slurm", "slurm")])
def test_what_brings_a_launcher_that_is_not_installed(name: str, extra: str) -> None:
    error = MissingConfigException("Could not find it", missing_cfg_file=f"hydra/{name}", options=["basic"])
    group, _, option = f"hydra/{name}".rpartition("/")
    told = f"{group}={option}: is not installed; pip install 'ldmlab[{extra}]' brings it"
    assert str(in_one_line(error, "train", [])) == told
