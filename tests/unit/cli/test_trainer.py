from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
from hydra import compose
from omegaconf import DictConfig

from ldmlab.cli.trainer import RANKS, equip, make_trainer
from ldmlab.configs.compose import hydra_at_conf
from ldmlab.training.callbacks.grids import PictureGrid
from ldmlab.training.callbacks.last import LastCheckpoint

SLURM = {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*RANKS, *SLURM):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """(model, trainer's settings) -> a config of `train` on a CPU."""

    def make(model: str = "latent_diffusion", **settings: Any) -> DictConfig:
        with hydra_at_conf("train"):
            cfg = compose("train", [f"model={model}", f"output_dir={tmp_path / 'run'}"])
        cfg.trainer.accelerator = "cpu"
        for key, value in settings.items():
            cfg.trainer[key] = value
        return cfg

    return make


@pytest.mark.parametrize(
    "settings",
    [
        {"devices": 2},
        {"devices": "2"},
        {"num_nodes": 2},
        {"strategy": "ddp"},
        {"strategy": "ddp_spawn", "devices": 2},
        {"strategy": "fsdp"},
    ],
    ids=str,
)
def test_more_than_one_rank_is_refused_before_anything_is_written(
    config: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    key = next(iter(settings))
    with pytest.raises(ValueError, match=rf"trainer\.{key}={settings[key]}: .*one device.*trainer\.devices=1"):
        make_trainer(config(**settings))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", RANKS)
def test_one_of_several_processes_is_refused(config: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "2")
    with pytest.raises(ValueError, match=f"{name}=2: this is one of several processes"):
        make_trainer(config())


def test_all_devices_are_refused_where_there_are_several(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning.pytorch.accelerators.cpu.CPUAccelerator.auto_device_count", lambda *_: 4)
    with pytest.raises(ValueError, match=r"trainer\.devices=auto: 4 devices; ldmlab trains on one"):
        make_trainer(config(devices="auto"))


def test_one_task_under_slurm_is_one_process(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert make_trainer(config()).world_size == 1


@pytest.mark.parametrize("devices", [1, "1", "auto", [0]])
def test_one_device_in_every_spelling(config: Any, devices: Any) -> None:
    assert make_trainer(config(devices=devices)).num_devices == 1


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"gradient_clip_val": 1.0}, "training.gradient_clip"),
        ({"accumulate_grad_batches": 2}, "data.batch_size"),
        ({"precision": "bf16-true"}, "bf16-mixed"),
    ],
    ids=str,
)
def test_what_an_autoencoder_does_itself_is_named(config: Any, settings: dict[str, Any], fix: str) -> None:
    with pytest.raises(ValueError, match=f"trainer.{next(iter(settings))}=.*{fix}"):
        make_trainer(config("autoencoder", **settings))
    make_trainer(config(**settings))


def test_a_share_of_an_epoch_between_validations(config: Any) -> None:
    trainer = make_trainer(config(val_check_interval=0.5))
    assert (trainer.val_check_interval, trainer.check_val_every_n_epoch) == (0.5, 1)


def test_an_unknown_accelerator_is_one_line(config: Any) -> None:
    cfg = config()
    cfg.trainer.accelerator = "abacus"
    with pytest.raises(ValueError, match=r"^trainer\.accelerator=abacus: "):
        make_trainer(cfg)


def test_a_checkpoint_is_written_before_a_grid_is_drawn(config: Any) -> None:
    cfg = config("autoencoder")
    trainer = make_trainer(cfg)
    equip(trainer, cfg, L.LightningModule(), None)  # type: ignore[arg-type]
    kinds = [type(callback) for callback in trainer.callbacks]  # type: ignore[attr-defined]
    assert kinds.index(LastCheckpoint) < kinds.index(PictureGrid)
