from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ldmlab.cli.errors import JobsFailedError, explain
from ldmlab.cli.launch import launch
from ldmlab.configs.errors import UserError

Body = Callable[..., None]


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


def test_a_sweep_is_in_the_folder_of_one_second(
    seen: list[DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, seconds = datetime(2026, 1, 1), count()

    class Clock:
        def now(self) -> datetime:
            return start + timedelta(seconds=next(seconds))

    monkeypatch.setattr("hydra.core.utils.datetime", Clock())
    launch("sample", ["-m", "sampler=ddim,ddpm"])
    (folder,) = (tmp_path / "runs/sample").iterdir()
    assert [config.output_dir for config in seen] == [str(folder / "0"), str(folder / "1")]


def test_keys_of_replaced_options_fall_away_in_a_sweep(
    seen: list[DictConfig], study: Callable[[str, str], None]
) -> None:
    study("shapes/a", "defaults:\n  - override /sampler: ddim\nsampler:\n  steps: 7\n  eta: 0.5\n")
    launch("sample", ["-m", "experiment=shapes/a", "sampler=ddim,ddpm", "output_dir=out"])
    assert [config.sampler.get("eta") for config in seen] == [0.5, None]
    assert [config.sampler.steps for config in seen] == [7, 7]
    assert "eta" not in OmegaConf.load("out/1/.hydra/config.yaml").sampler


@pytest.mark.slow
def test_sweep_goes_on_after_a_failed_job(body: Body) -> None:
    done = []

    def run(config: DictConfig) -> None:
        if config.seed == 1:
            raise ValueError("seed=1: no")
        done.append(config.seed)

    body(run)
    with pytest.raises(JobsFailedError, match=r"1 of 3 jobs are not done: 1 \(failed\)"):
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


def refuse(config: DictConfig) -> None:
    raise ValueError("seed=1: no")


def refused(*argv: str) -> None:
    error, told = (JobsFailedError, r"0 \(failed\)") if "-m" in argv else (ValueError, "seed=1: no")
    with pytest.raises(error, match=told):
        launch("sample", list(argv))


def test_a_refused_run_leaves_neither_its_folders_nor_a_log_that_wants_them(body: Body, tmp_path: Path) -> None:
    body(lambda config: (logging.getLogger().warning("about to fail"), refuse(config))[1])  # type: ignore[func-returns-value]
    refused("output_dir=deep/down/out")
    logging.getLogger().warning("said after the run")
    assert not list(tmp_path.iterdir())
    refused("output_dir=out", "hydra.output_subdir=settings")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mine", ".", "link"])
def test_a_folder_that_was_there_stays(name: str, body: Body, tmp_path: Path) -> None:
    body(refuse)
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to("mine", target_is_directory=True)
    refused(f"output_dir={name}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "mine"]
    assert not list((tmp_path / "mine").iterdir())


def test_what_a_run_wrote_stays_with_its_config(body: Body, tmp_path: Path) -> None:
    def write_and_refuse(config: DictConfig) -> None:
        Path(config.output_dir, "picture.png").touch()
        refuse(config)

    body(write_and_refuse)
    refused("output_dir=out")
    assert (tmp_path / "out/picture.png").exists()
    assert (tmp_path / "out/.hydra/config.yaml").exists()


@pytest.mark.parametrize("sweep", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_refused_run_leaves_the_config_of_an_earlier_one(sweep: bool, body: Body, tmp_path: Path) -> None:
    words = ["-m", "output_dir=out"] if sweep else ["output_dir=out/0"]
    body(lambda config: Path(config.output_dir, "picture.png").touch())
    launch("sample", [*words, "n=7"])
    record = {path.name: path.read_bytes() for path in (tmp_path / "out/0/.hydra").iterdir()}
    assert sorted(record) == ["config.yaml", "hydra.yaml", "overrides.yaml"]
    body(refuse)
    refused(*words, "n=8")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out/0/.hydra").iterdir()} == record
    body(lambda config: None)
    launch("sample", [*words, "n=8"])
    assert OmegaConf.load(tmp_path / "out/0/.hydra/config.yaml").n == 8


def test_an_interrupted_run_that_wrote_nothing_leaves_nothing(body: Body, tmp_path: Path) -> None:
    def interrupt(config: DictConfig) -> None:
        raise KeyboardInterrupt

    body(interrupt)
    with pytest.raises(KeyboardInterrupt):
        launch("sample", ["output_dir=out"])
    assert not list(tmp_path.iterdir())


def test_a_bug_leaves_the_folder_to_look_into(body: Body, tmp_path: Path) -> None:
    def fail(config: DictConfig) -> None:
        raise KeyError("x")

    body(fail)
    with pytest.raises(KeyError):
        launch("sample", ["output_dir=out"])
    assert (tmp_path / "out/.hydra/config.yaml").exists()


def test_nothing_runs_where_nothing_can_be_written(seen: list[DictConfig], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"output_dir=.*not a directory.*give another folder"):
        launch("sample", ["output_dir=file"])
    assert not seen


@pytest.mark.parametrize(
    ("overrides", "folders"),
    [
        (
            ["hydra.sweep.subdir='${hydra.job.override_dirname}'", "seed=1,2"],
            ["output_dir=out,seed=1", "output_dir=out,seed=2"],
        ),
        (
            [
                "hydra.sweep.subdir=${hydra.job.override_dirname}",
                "hydra.job.config.override_dirname.exclude_keys=[output_dir]",
                'prompts=["a=b, \\"red\\" star"],["é (1)"]',
            ],
            None,
        ),
        pytest.param(
            ["hydra.sweep.subdir=n-${hydra:job.num}-${n}", "n=1,2"], ["n-0-1", "n-1-2"], marks=pytest.mark.slow
        ),
        pytest.param(
            ["hydra.sweep.subdir=${hydra.job.id}x", "hydra.job.name='a=b, c'", "n=1,2"],
            ["0x", "1x"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_hydra_knows_of_a_job_names_its_folder(
    overrides: list[str], folders: list[str] | None, seen: list[DictConfig], tmp_path: Path
) -> None:
    launch("sample", ["-m", "output_dir=out", *overrides])
    assert len(seen) == 2
    names = [str(Path(config.output_dir).relative_to(tmp_path / "out")) for config in seen]
    assert folders is None or names == folders
    assert all((tmp_path / "out" / name / ".hydra/config.yaml").exists() for name in names)


def test_a_sweep_over_folders_has_each_job_in_its_own(seen: list[DictConfig], tmp_path: Path) -> None:
    launch("sample", ["-m", "output_dir=a,b"])
    assert [config.output_dir for config in seen] == [str(tmp_path / "a/0"), str(tmp_path / "b/1")]


def test_keys_may_refer_to_the_job(seen: list[DictConfig], tmp_path: Path) -> None:
    for name in ("out.ckpt", "a-0.ckpt", "a-1.ckpt"):
        (tmp_path / name).touch()
    launch("sample", ["output_dir=out", "ckpt=${hydra:runtime.output_dir}.ckpt"])
    launch("sample", ["-m", "output_dir=out", "n=3,4", "ckpt=a-${hydra:job.num}.ckpt"])
    launch(
        "sample",
        [
            "output_dir=runs/${hydra.job.override_dirname}",
            "seed=3",
            "hydra.job.config.override_dirname.exclude_keys=[output_dir]",
        ],
    )
    assert seen[3].output_dir == str(tmp_path / "runs/seed=3")


def test_runs_of_the_same_second_have_folders_of_their_own(seen: list[DictConfig], tmp_path: Path) -> None:
    """Runs and sweeps alike: here the name is the year, so that it is the same for all."""
    words = ["output_dir=runs/${now:%Y}"]
    launch("sample", words)
    launch("sample", words)
    launch("sample", ["seed=3", *words])
    folders = [config.output_dir for config in seen]
    assert len({*folders}) == 3
    assert [Path(folder).name[4:] for folder in folders] == ["", "-2", "-3"]
    launch("sample", ["-m", "seed=1,2", *words])
    assert [Path(config.output_dir).parent.name[4:] for config in seen[3:]] == ["-4", "-4"]


def write(name: str) -> Callable[[DictConfig], None]:
    return lambda config: Path(config.output_dir, name).write_text("a result") and None


def test_another_run_in_the_folder_is_refused_and_the_same_goes_on(body: Body, tmp_path: Path) -> None:
    body(write("metrics.json"), "evaluate")
    launch("evaluate", ["seed=1", "output_dir=out"])
    record = OmegaConf.load(tmp_path / "out/.hydra/config.yaml")
    launch("evaluate", ["seed=1", "output_dir=out", "batch_size=7"])
    launch("evaluate", ["seed=1", f"output_dir={tmp_path}/out"])
    for words, told in (
        (["evaluate", "seed=2"], r"holds another run \(it had seed=1, this one has seed=2\); give another folder"),
        (
            ["evaluate", "seed=1", "sampler=ddpm"],
            r"it had sampler\._target_=ldmlab\.samplers\.ddim\.DDIM, ",
        ),
        (["sample", "seed=1"], "holds a run of `ldmlab evaluate`"),
        (["train", "experiment=shapes/dit", f"data.path={tmp_path}"], "holds a run of `ldmlab evaluate`"),
    ):
        with pytest.raises(ValueError, match=f"output_dir={tmp_path}/out: .*{told}"):
            launch(words[0], [*words[1:], "output_dir=out"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".hydra", "metrics.json", "status.json"}
    assert OmegaConf.load(tmp_path / "out/.hydra/config.yaml") == record


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a red star", "a: b"], "it had prompts=a green star, this one has prompts='a: b'"),
        pytest.param(["a red star"], "it had prompts=a green star", marks=pytest.mark.slow),
        pytest.param(
            ["prompts=file.txt"], "it had prompts=a red star, this one has prompts=file.txt", marks=pytest.mark.slow
        ),
        (["a red star", "a green star", "sampler.steps=7"], "it had sampler.steps=50, this one has sampler.steps=7"),
    ],
)
def test_what_differs_is_named_by_its_key(words: list[str], told: str, body: Body, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("a red star")
    body(write("00000.png"))
    launch("sample", ["a red star", "a green star", "output_dir=out"])
    with pytest.raises(UserError, match=re.escape(f"holds another run ({told})")):
        launch("sample", [*words, "output_dir=out"])
    launch("sample", ["a red star", "a green star", "output_dir=out", "n=4"])


def test_results_without_a_record_are_not_written_over(seen: list[DictConfig], tmp_path: Path) -> None:
    for command, name in (("sample", "prompts.txt"), ("edit", "00000_edit.png"), ("benchmark", "metrics.json")):
        folder = tmp_path / command
        folder.mkdir()
        (folder / name).write_text("of the user")
        with pytest.raises(UserError, match=f"holds {name}, and nothing says what run wrote it"):
            launch(command, [f"output_dir={folder}"])
        assert [path.name for path in folder.iterdir()] == [name]
    assert not seen


def test_a_folder_with_files_that_no_run_writes_is_used(seen: list[DictConfig], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    launch("sample", ["output_dir=."])
    assert len(seen) == 1


def test_what_a_run_left_that_had_written_nothing_is_no_hindrance(body: Body, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    seeds: list[int] = []
    body(lambda config: seeds.append(config.seed))
    body(lambda config: seeds.append(-config.seed), "evaluate")
    launch("sample", ["output_dir=out", "seed=1"])
    launch("sample", ["output_dir=out", "seed=2"])
    launch("evaluate", ["output_dir=out", "seed=2"])
    assert seeds == [1, 2, -2]


def test_sweeps_and_runs_do_not_mix(body: Body, tmp_path: Path) -> None:
    body(write("metrics.json"), "evaluate")
    launch("evaluate", ["-m", "seed=1,2", "output_dir=out"])
    with pytest.raises(UserError, match="holds a sweep"):
        launch("evaluate", ["seed=1", "output_dir=out"])
    with pytest.raises(UserError, match=r"out/0: holds another run \(it had seed=1, this one has seed=3\)"):
        launch("evaluate", ["-m", "seed=3,2", "output_dir=out"])


def test_what_a_component_refuses_stays_in_its_own_words(body: Body) -> None:
    body(lambda config: instantiate({"_target_": "ldmlab.adapters.lora.LoRA", "rank": config.seed}))
    with pytest.raises(InstantiationException) as raised:
        launch("sample", ["seed=0", "output_dir=out"])
    assert explain(raised.value) == "adapter.rank=0 is too small; give 1 or more"
