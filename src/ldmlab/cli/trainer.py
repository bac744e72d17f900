"""Makes the Trainer of a run: its settings, its callbacks, its logger."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from torch import nn

from ldmlab.cli.grids import picture_grid
from ldmlab.cli.resume import CHECKPOINT
from ldmlab.compiling import compile_networks, worth_compiling
from ldmlab.configs.build import resolved
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.precision import Precision, lay_out
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.callbacks.cost import Cost
from ldmlab.training.callbacks.going_on import GoingOn
from ldmlab.training.callbacks.last import LastCheckpoint
from ldmlab.training.callbacks.progress import progress_callback
from ldmlab.training.callbacks.rng import RngState
from ldmlab.training.checkpoint_io import AtomicCheckpointIO
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.precision import precision_plugin, resolve_precision, training_precision
from ldmlab.training.signals import STOP

log = logging.getLogger(__name__)

Training = AutoencoderTraining | LatentDiffusionTraining
ONE_DEVICE = "ldmlab trains on one device; use trainer.devices=1 and start one process"


RANKS = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""What launchers of several processes say of their number: torchrun, Slurm, MPI."""


def make_trainer(cfg: DictConfig) -> L.Trainer:
    """The Trainer of a run from the config's section `trainer`. Writes nothing, so that it comes before all else.

    Raises:
        ValueError: a setting that it does not take, or that no training here could go on with.
    """
    settings = resolved(cfg.trainer)
    _require_one_process(settings)
    _require_what_training_does_itself(cfg.model.name, settings, settings.pop("precision"))
    if isinstance(settings["val_check_interval"], float) and settings["check_val_every_n_epoch"] is None:
        settings["check_val_every_n_epoch"] = 1  # a share is one of an epoch
    if settings["devices"] == [0] and (settings["accelerator"] == "cpu" or not torch.cuda.is_available()):
        settings["devices"] = 1  # Lightning counts CPUs, and does not number them
    try:
        trainer = L.Trainer(
            **settings,
            max_epochs=-1,
            default_root_dir=cfg.output_dir,
            logger=False,
            plugins=[AtomicCheckpointIO()],
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
    except (TypeError, ValueError, MisconfigurationException) as error:
        accelerator = settings["accelerator"]
        if accelerator not in ("auto", "cpu") and re.search("accelerator|backend", str(error)):
            told = "use trainer.accelerator=cpu, or auto for the GPU where there is one"
            raise ValueError(f"trainer.accelerator={accelerator}: {error}; {told}") from error
        raise ValueError(f"trainer: {error}") from error
    if trainer.world_size > 1:
        raise ValueError(f"trainer.devices={settings['devices']}: {trainer.world_size} devices; {ONE_DEVICE}")
    device = trainer.strategy.root_device
    trainer.strategy.precision_plugin = precision_plugin(run_precision(cfg, device)[1], device.type)
    return trainer


def run_precision(cfg: DictConfig, device: torch.device) -> tuple[Precision, str]:
    """What a run computes in, and what Lightning calls it; see `training_precision`."""
    return training_precision(cfg.precision, cfg.trainer.precision, device)


def equip(trainer: L.Trainer, cfg: DictConfig, module: L.LightningModule, data: ShardDataModule) -> None:
    """Give a Trainer the callbacks of a run and its logger, which writes to the run's folder.

    Raises:
        ValueError: a picture grid that could not be drawn.
    """
    folder = Path(cfg.output_dir)
    logged_every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    trainer.callbacks += [  # type: ignore[attr-defined]
        RngState(),
        Cost(cfg.data.batch_size * trainer.accumulate_grad_batches, logged_every),
        progress_callback(),
        Heeding(),
        LastCheckpoint(folder / CHECKPOINT, cfg.checkpoint_every, STOP.asked),
        picture_grid(cfg, module, data, folder, run_precision(cfg, trainer.strategy.root_device)[0]),
        GoingOn(),
    ]
    trainer.logger = _logger(cfg)


def ready_to_train(cfg: DictConfig, module: Training, device: torch.device, steps: int) -> Precision:
    """Lay out and compile the networks of a run.

    Args:
        cfg: of `ldmlab train`.
        module: what is trained.
        device: where.
        steps: that are left.

    Returns:
        What the run computes in.
    """
    precision, _ = run_precision(cfg, device)
    log.info("computes in %s: %s", precision.name, precision.why)
    lay_out(module, precision)
    if worth_compiling(cfg.compile, device, steps):
        compile_networks(_called_in_each_step(cfg, module))
    return precision


def _called_in_each_step(cfg: DictConfig, module: Training) -> list[nn.Module]:
    if isinstance(module, AutoencoderTraining):
        return [module.autoencoder]
    model = module.model
    return [model.denoiser.backbone, *([] if cfg.cache_latents else [model.autoencoder.encoder])]


def _require_one_process(settings: dict[str, Any]) -> None:
    for name in RANKS:
        if os.environ.get(name, "1").strip() not in ("", "0", "1"):
            raise ValueError(f"{name}={os.environ[name]}: this is one of several processes; {ONE_DEVICE}")
    if settings["num_nodes"] != 1:
        raise ValueError(f"trainer.num_nodes={settings['num_nodes']}: {ONE_DEVICE}")
    if settings["strategy"] not in ("auto", "single_device"):
        raise ValueError(f"trainer.strategy={settings['strategy']}: {ONE_DEVICE}, and leave trainer.strategy=auto")


def _require_what_training_does_itself(model: str, settings: dict[str, Any], precision: str | int | None) -> None:
    """An autoencoder has two optimizers, which Lightning neither clips nor accumulates for."""
    if model != "autoencoder":
        return
    if settings["gradient_clip_val"] is not None:
        raise ValueError(
            f"trainer.gradient_clip_val={settings['gradient_clip_val']}: an autoencoder clips by its own norm; use "
            "training.gradient_clip"
        )
    if settings["accumulate_grad_batches"] != 1:
        raise ValueError(
            f"trainer.accumulate_grad_batches={settings['accumulate_grad_batches']}: an autoencoder steps after each "
            "batch; use a larger data.batch_size"
        )
    if resolve_precision(precision) == "bf16-true":
        raise ValueError(
            "trainer.precision=bf16-true: an autoencoder has no averaged weights to keep what bf16 rounds away; use "
            "bf16-mixed"
        )


class Heeding(L.Callback):
    """Takes signals back from Lightning, whose own handlers end a run before it is saved."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """It sets them just before."""
        STOP.hold()


def _logger(cfg: DictConfig) -> Logger:
    logger: Logger = instantiate(cfg.logger)
    logger.log_hyperparams(resolved(cfg))
    return logger
