from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig

from ldmlab.cli import devices
from ldmlab.cli.command import find
from ldmlab.cli.launch import launch
from ldmlab.configs.compose import validate
from ldmlab.configs.errors import UserError

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[DictConfig]:
    """The configs that `ldmlab train` would run with; its data are there."""
    configs: list[DictConfig] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ldmlab.cli.run.run_here", lambda name, command, config: configs.append(config))
    (tmp_path / "data").mkdir()
    return configs


def train(*words: str) -> None:
    launch("train", ["data.path=data", "output_dir=out", *words])


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


def test_number_of_ranks_follows_the_key(trained: list[DictConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr("ldmlab.cli.run.run_on_ranks", lambda count, name, config: started.append(count))
    for asked in ("2", "[0,1,2]", "'0,1'", "1", "auto", "-1"):
        train("trainer.accelerator=cpu", f"trainer.devices={asked}", "hydra.output_subdir=null")
    assert started == [2, 3, 2]
    assert len(trained) == 3  # a CPU is one device


@pytest.mark.parametrize(
    "command", ["sample", *(pytest.param(name, marks=pytest.mark.slow) for name in ("evaluate", "benchmark"))]
)
def test_what_draws_and_measures_takes_all_devices(command: str) -> None:
    validate(command, ["devices=auto", "num_nodes=2"], checks=find(command))
    with pytest.raises(UserError, match="devices=some"):
        validate(command, ["devices=some"], checks=find(command))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.devices=1000"], "trainer.devices=1000: this host has no GPU"),
        (["trainer.devices=0"], "trainer.devices=0: give 1 or more"),
        (["trainer.devices=some"], "trainer.devices=some: give a number"),
        (["trainer.num_nodes=2"], "trainer.num_nodes=2: a process a device has to be started on every host"),
    ],
)
def test_devices_that_are_not_there(words: list[str], message: str, trained: list[DictConfig]) -> None:
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        train("trainer.accelerator=cpu", *words)


def test_more_gpus_than_there_are() -> None:
    with pytest.raises(UserError, match=r"devices=3: this host has 1 GPU; ask for no more"):
        devices._counted("devices", 3, 1)
    assert devices._counted("devices", "auto", 2) == 2


@pytest.mark.usefixtures("torchrun")
def test_processes_that_were_started_become_settings(trained: list[DictConfig]) -> None:
    train()
    assert (trained[0].trainer.devices, trained[0].trainer.num_nodes) == (2, 2)
    with pytest.raises(UserError, match=r"trainer.devices=2 trainer.num_nodes=1: torchrun started 4 processes, 2 on"):
        train("trainer.devices=2")


@pytest.mark.usefixtures("torchrun")
def test_a_command_for_one_device_refuses_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="torchrun started 4 processes: this command runs in one"):
        launch("describe", [])


@pytest.mark.usefixtures("torchrun")
def test_only_the_first_writes_a_record(trained: list[DictConfig], tmp_path: Path) -> None:
    train()
    assert trained[0].output_dir == str(tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.usefixtures("torchrun")
def test_a_folder_called_after_the_time_is_refused(trained: list[DictConfig]) -> None:
    with pytest.raises(UserError, match="output_dir: is called after the time, which differs between processes"):
        launch("train", ["data.path=data"])


@pytest.mark.usefixtures("torchrun")
def test_a_sweep_is_made_by_one_process(trained: list[DictConfig]) -> None:
    with pytest.raises(UserError, match="-m: torchrun started 4 processes"):
        train("-m", "seed=1,2")


def test_a_rank_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with devices.silent():
        print("model: here")
    assert capsys.readouterr().out == ""
