"""What Hydra's documentation shows, done with a command that stands in for `ldmlab sample`."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from ldmlab.cli.errors import JobsFailedError
from ldmlab.cli.launch import launch
from ldmlab.cli.main import main
from ldmlab.configs.errors import UserError

Body = Callable[..., None]


def away_from_two(config: DictConfig) -> float:
    """A figure that is best at guidance.scale=2."""
    Path(config.output_dir, "00000.png").touch()
    return float((config.guidance.scale - 2) ** 2)


@pytest.fixture
def seen(body: Body) -> list[DictConfig]:
    """The configs that the command was run with."""
    configs: list[DictConfig] = []
    body(configs.append)
    return configs


@pytest.mark.slow
def test_optuna_looks_for_the_best_of_three(body: Body, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    body(away_from_two)
    words = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1", "output_dir=out"]
    launch("sample", [*words, "hydra.sweeper.sampler.seed=0", "guidance.scale=interval(1,3)"])
    best = OmegaConf.load("out/optimization_results.yaml")
    scales = [OmegaConf.load(f"out/{trial}/.hydra/config.yaml").guidance.scale for trial in range(3)]
    assert best.best_value == min((scale - 2) ** 2 for scale in scales)
    body(lambda config: pytest.fail("is done"))
    launch("sample", [*words, "guidance.scale=interval(1,3)"])  # by the seed of the command
    assert OmegaConf.load("out/optimization_results.yaml") == best
    with pytest.raises(UserError, match=r"out/0: holds another run \(it had guidance\.scale="):
        launch("sample", [*words, "guidance.scale=interval(2,3)"])


def test_a_sweeper_of_its_own_has_its_jobs_checked_as_they_start(body: Body) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    body(away_from_two)
    with pytest.raises(UserError, match=r"unknown key 'sampler\.stesp'"):
        launch("sample", ["-m", "hydra/sweeper=optuna", "sampler.stesp=choice(1,2)", "output_dir=out"])


def test_joblib_runs_jobs_side_by_side(body: Body, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")

    def run(config: DictConfig) -> None:  # travels to the other processes by value
        (Path(config.output_dir) / f"{config.seed}.png").touch()

    body(run)
    launch("sample", ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=1,2", "output_dir=out"])
    assert sorted(path.name for path in (tmp_path / "out").glob("*/*.png")) == ["1.png", "2.png"]


def test_every_failing_job_names_itself(body: Body, capsys: pytest.CaptureFixture[str]) -> None:
    def run(config: DictConfig) -> None:
        raise ValueError(f"seed={config.seed}: no")

    body(run)
    with pytest.raises(JobsFailedError, match=r"2 of 2 jobs are not done: 0 \(failed\), 1 \(failed\)"):
        launch("sample", ["-m", "seed=1,2", "output_dir=out"])
    failed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("job ")]
    assert failed == [f"job {job} (seed={job + 1}): seed={job + 1}: no" for job in range(2)]


def test_a_run_is_rerun_in_a_folder_beside_it(seen: list[DictConfig], tmp_path: Path) -> None:
    save = "+hydra.callbacks.save._target_=hydra.experimental.callbacks.PickleJobInfoCallback"
    launch("sample", ["seed=5", "output_dir=out", save])
    with pytest.warns(UserWarning, match="Experimental rerun"):
        launch("sample", ["--experimental-rerun", "out/.hydra/config.pickle"])
    assert [config.seed for config in seen] == [5, 5]
    assert [config.output_dir for config in seen] == [str(tmp_path / "out"), str(tmp_path / "out-2")]
    assert OmegaConf.load("out-2/.hydra/config.yaml").seed == 5
    with pytest.warns(UserWarning, match="rerun"), pytest.raises(UserError, match="holds a run of `ldmlab sample`"):
        launch("train", ["--experimental-rerun", "out/.hydra/config.pickle"])
    for file in ("nowhere.pickle", "out/.hydra/config.yaml"):
        with pytest.raises(UserError, match=f"--experimental-rerun {file}: "):
            launch("sample", ["--experimental-rerun", file])


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_config_of_the_users_own(seen: list[DictConfig], tmp_path: Path) -> None:
    write(tmp_path / "my/mine.yaml", "defaults:\n  - sample\n  - _self_\nn: 5\nsampler:\n  steps: 3\n")
    launch("sample", ["-cd", "my", "-cn", "mine", "sampler.eta=1"])
    assert (seen[0].n, seen[0].sampler.steps, seen[0].sampler.eta) == (5, 3, 1)
    with pytest.raises(UserError, match=r"unknown key 'sampler\.stesp'"):
        launch("sample", ["-cd", "my", "-cn", "mine", "sampler.stesp=1"])
    write(tmp_path / "my/typo.yaml", "defaults:\n  - sample\n  - _self_\nsampler:\n  stesp: 3\n")
    with pytest.raises(UserError, match=r"unknown key 'sampler\.stesp'"):
        launch("sample", ["-cd", "my", "-cn", "typo"])
    with pytest.raises(UserError, match="-cn nowhere: there is no such config"):
        launch("sample", ["-cn", "nowhere"])
    assert len(seen) == 1


def test_experiments_and_presets_of_the_users_own(seen: list[DictConfig], tmp_path: Path) -> None:
    write(tmp_path / "my/experiment/quick.yaml", "# @package _global_\nn: 1\n")
    write(tmp_path / "my/preset/fast.yaml", "# @package _global_\nsampler:\n  steps: 2\n")
    write(tmp_path / "my/preset/typo.yaml", "# @package _global_\nsampler:\n  stesp: 2\n")
    launch("sample", ["-cd", "my", "experiment=quick", "+preset=fast"])
    assert (seen[0].n, seen[0].sampler.steps) == (1, 2)
    with pytest.raises(UserError, match=r"unknown key 'sampler\.stesp'"):
        launch("sample", ["-cd", "my", "+preset=typo"])


def test_keys_are_added_and_taken_away(seen: list[DictConfig]) -> None:
    launch("sample", ["+sampler._convert_=all", "~guidance.rescale"])
    assert (seen[0].sampler._convert_, "rescale" in seen[0].guidance) == ("all", False)


def test_the_mode_may_be_given_in_words(seen: list[DictConfig]) -> None:
    launch("sample", ["hydra.mode=MULTIRUN", "seed=1,2", "output_dir=out"])
    assert [config.seed for config in seen] == [1, 2]


def complete(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv("COMP_LINE", line)
    assert main(["-sc", "query=bash"]) == 0
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("ldmlab tr", ["train"]),
        ("ldmlab train backb", ["backbone.", "backbone="]),
        ("ldmlab train backbone=un", ["backbone=unet"]),
        ("ldmlab train model=autoencoder autoencoder.ch", ["autoencoder.channels="]),
        ('ldmlab sample "a red star" samp', ["sampler.", "sampler="]),
        ("ldmlab sample backb", []),
        ("ldmlab sample sampler=nothing see", []),
    ],
)
def test_completion(
    line: str, answers: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complete(line, monkeypatch, capsys) == answers


@pytest.mark.slow
def test_completion_in_bash(tmp_path: Path) -> None:
    """A terminal, in which the tabulator is pressed twice."""
    program = tmp_path / "bin/ldmlab"
    write(program, f'#!/bin/sh\nexec "{sys.executable}" -m ldmlab "$@"\n')
    program.chmod(0o755)
    source = str(Path(__file__).parents[3] / "src")
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": source, "TERM": "dumb"}
    ours, theirs = pty.openpty()
    bash = [shutil.which("bash") or "bash", "--norc", "--noprofile", "-i"]
    with subprocess.Popen(bash, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=tmp_path) as shell:
        os.close(theirs)
        os.write(ours, b'eval "$(ldmlab -sc install=bash)"; echo rea""dy\n')
        read_until(ours, "ready")
        os.write(ours, b"ldmlab describe backbone=dit_xl_\t\t")
        told = read_until(ours, "xl_8")
        shell.kill()
    os.close(ours)
    assert {"backbone=dit_xl_2", "backbone=dit_xl_4", "backbone=dit_xl_8"} <= set(re.split(r"\s+", told))


def read_until(terminal: int, words: str) -> str:
    """What a terminal shows until it has shown some words."""
    told = ""
    while words not in told:
        told += os.read(terminal, 4096).decode()
    return told
