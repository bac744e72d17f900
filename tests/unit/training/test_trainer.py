from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import yaml
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.profilers import AdvancedProfiler, SimpleProfiler

from ldmlab.paths import conf_dir
from ldmlab.training.callbacks.going_on import GoingOn
from ldmlab.training.callbacks.grids import PictureGrid
from ldmlab.training.callbacks.last import LastCheckpoint
from ldmlab.training.callbacks.progress import ProgressLines
from ldmlab.training.checkpoint_io import AtomicCheckpointIO
from ldmlab.training.precision import numbers_of
from ldmlab.training.strategies.ddp import DDP
from ldmlab.training.strategies.fsdp2 import FSDP2
from ldmlab.training.strategies.processes import MPI
from ldmlab.training.trainer import STEPS, limit_to_epochs, make_trainer, require_what_training_takes

SLURM = {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
DEFAULTS = {**yaml.safe_load((conf_dir() / "trainer/default.yaml").read_text()), "accelerator": "cpu"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*MPI, *SLURM, *TORCHRUN):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trainer(tmp_path: Path) -> Any:
    """(callbacks, trainer's settings) -> the Trainer of a run on a CPU."""

    def make(*callbacks: L.Callback, precision: Any = None, **settings: Any) -> Any:
        known = {name: value for name, value in DEFAULTS.items() if name != "_target_"}
        factory = partial(L.Trainer, **{**known, "precision": precision, **settings})
        return make_trainer(factory, tmp_path / "run", callbacks=callbacks)

    return make


TORCHRUN = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "tests", "GROUP_RANK": "0"}  # fmt: skip


@pytest.mark.parametrize("settings", [{"devices": 2}, {"devices": "2"}, {"num_nodes": 2}], ids=str)
def test_processes_that_nobody_has_started(trainer: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^trainer\.devices=\d trainer\.num_nodes=\d: 2 processes have .* `ldmlab train`"
    ):
        trainer(**settings)
    assert not any(tmp_path.iterdir())


def test_as_many_processes_as_devices(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    made = trainer(devices=2)
    assert (made.world_size, type(made.strategy)) == (2, DDP)
    with pytest.raises(ValueError, match=r"^trainer\.devices=1 trainer\.num_nodes=1: torchrun started 2 processes"):
        trainer()
    with pytest.raises(ValueError, match=r"^trainer\.devices=2 trainer\.num_nodes=2: torchrun started 2 processes"):
        trainer(devices=2, num_nodes=2)


@pytest.mark.parametrize("name", MPI)
def test_processes_of_mpi_alone_are_refused(trainer: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "2")
    with pytest.raises(ValueError, match=f"{name}=2: .*torchrun or srun"):
        trainer()


def test_one_task_under_slurm_is_one_process(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert trainer().world_size == 1


@pytest.mark.parametrize("devices", [1, "1", "auto", [0]])
def test_one_device_in_every_spelling(trainer: Any, devices: Any) -> None:
    assert trainer(devices=devices).num_devices == 1


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"gradient_clip_val": 1.0}, "training.gradient_clip"),
        ({"accumulate_grad_batches": 2}, "data.batch_size"),
        ({"precision": "bf16-true"}, "bf16-mixed"),
    ],
    ids=str,
)
def test_what_an_autoencoder_does_itself_is_named(
    trainer: Any, autoencoder_training: Any, diffusion_training: Any, settings: dict[str, Any], fix: str
) -> None:
    asked = trainer(**settings)
    require_what_training_takes(asked, diffusion_training())
    with pytest.raises(ValueError, match=f"trainer.{next(iter(settings))}=.*{fix}"):
        require_what_training_takes(asked, autoencoder_training())


def test_what_fsdp2_does_not_train(trainer: Any, autoencoder_training: Any, diffusion_training: Any) -> None:
    require_what_training_takes(trainer(strategy=FSDP2()), diffusion_training())
    with pytest.raises(ValueError, match=r"^strategy=fsdp2: .*strategy=ddp$"):
        require_what_training_takes(trainer(strategy="fsdp2"), autoencoder_training())
    with pytest.raises(ValueError, match=r"^trainer\.precision=bf16-true: strategy=fsdp2 .*ddp$"):
        require_what_training_takes(trainer(strategy=FSDP2(), precision="bf16-true"), diffusion_training())


def test_a_share_of_an_epoch_between_validations(trainer: Any) -> None:
    made = trainer(val_check_interval=0.5)
    assert (made.val_check_interval, made.check_val_every_n_epoch) == (0.5, 1)


def test_an_unknown_accelerator_is_one_line(trainer: Any) -> None:
    with pytest.raises(ValueError, match=r"^trainer\.accelerator=abacus: "):
        trainer(accelerator="abacus")


def test_what_lightning_does_not_take_is_one_line(trainer: Any) -> None:
    with pytest.raises(ValueError, match=r"^trainer: .*unexpected keyword argument 'fast_run'"):
        trainer(fast_run=True)


def test_a_checkpoint_is_written_before_a_grid_is_drawn_and_after_what_may_end_a_run(trainer: Any) -> None:
    grid = PictureGrid(every_n_steps=1)
    made = trainer(
        GoingOn(), grid, LastCheckpoint(1), ModelCheckpoint(monitor="a"), EarlyStopping("a"), max_time="00:00:01:00"
    )
    kinds = [type(callback).__name__ for callback in made.callbacks]
    assert kinds == ["EarlyStopping", "Timer", "ModelCheckpoint", "LastCheckpoint", "PictureGrid", "GoingOn"]


def test_the_users_own_callbacks_and_plugins_come_beside_ours(trainer: Any) -> None:
    own = L.Callback()
    made = trainer(LastCheckpoint(1), callbacks=[own], plugins=[])
    assert own in made.callbacks
    assert isinstance(made.strategy.checkpoint_io, AtomicCheckpointIO)


def test_a_bar_that_is_not_wanted_or_another_one(trainer: Any) -> None:
    assert not trainer(ProgressLines(), enable_progress_bar=False).callbacks
    assert [type(each) for each in trainer(RichProgressBar()).callbacks] == [RichProgressBar]


@pytest.mark.parametrize(("name", "kind"), [("simple", SimpleProfiler), ("advanced", AdvancedProfiler)])
def test_a_report_of_time_lands_in_the_folder_of_the_run(trainer: Any, name: str, kind: type, tmp_path: Path) -> None:
    profiler = trainer(profiler=name).profiler
    assert type(profiler) is kind
    assert (profiler.dirpath, profiler.filename) == (tmp_path / "run", "profile")


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, STEPS),
        ({"max_steps": 7}, 7),
        ({"max_epochs": 3}, 30),
        ({"max_epochs": 3, "max_steps": 7}, 7),
        ({"max_epochs": 3, "max_steps": 70}, 30),
        ({"max_epochs": 3, "accumulate_grad_batches": 4}, 9),
        ({"max_epochs": 3, "limit_train_batches": 4}, 12),
        ({"max_epochs": 3, "limit_train_batches": 0.25}, 6),
        ({"max_epochs": 3, "overfit_batches": 2}, 6),
        ({"fast_dev_run": True, "max_epochs": 3}, 1),
        ({"max_steps": -1, "max_time": "00:00:01:00"}, -1),
    ],
    ids=str,
)
def test_a_run_is_as_long_as_its_steps_or_its_epochs_of_ten_batches(
    trainer: Any, settings: dict[str, Any], steps: int
) -> None:
    made = trainer(**settings)
    limit_to_epochs(made, 10)
    assert made.max_steps == steps


def test_a_run_without_end_is_refused(trainer: Any) -> None:
    with pytest.raises(ValueError, match=r"never ends; give trainer\.max_steps, max_epochs or max_time"):
        trainer(max_steps=-1)


def test_a_trainer_knows_what_it_computes_in(trainer: Any) -> None:
    assert numbers_of(trainer()).name == "fp32"
    assert numbers_of(trainer(precision="bf16-mixed")).name == "bf16"
    own: Any = SimpleNamespace(precision_plugin=None, precision="bf16-mixed", strategy=trainer().strategy)
    assert numbers_of(own).name == "bf16"
