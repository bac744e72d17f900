"""Makes the Trainer of a run: its settings, its callbacks, its logger."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from ldmlab.cli.build import plain
from ldmlab.cli.grids import picture_grid
from ldmlab.cli.resume import CHECKPOINT
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.training.callbacks.last import LastCheckpoint
from ldmlab.training.callbacks.progress import Throughput, progress_callback
from ldmlab.training.callbacks.rng import RngState
from ldmlab.training.checkpoint_io import AtomicCheckpointIO


def make_trainer(cfg: DictConfig, module: L.LightningModule, data: ShardDataModule, folder: Path) -> L.Trainer:
    """The Trainer of a run, with its callbacks and its logger, from the config's section `trainer`.

    Raises:
        ValueError: a setting that it does not take, or a picture grid that could not be drawn.
    """
    callbacks: list[L.Callback] = [
        RngState(),
        Throughput(cfg.data.batch_size * cfg.trainer.accumulate_grad_batches, cfg.trainer.log_every_n_steps),
        progress_callback(),
        picture_grid(cfg, module, data, folder),
        LastCheckpoint(folder / CHECKPOINT, cfg.checkpoint_every),
    ]
    settings = plain(cfg.trainer)
    settings["precision"] = _precision(settings["precision"])
    try:
        trainer = L.Trainer(
            **settings,
            max_epochs=-1,
            default_root_dir=folder,
            logger=False,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        )
    except TypeError as error:
        raise ValueError(f"trainer: {error}") from error
    trainer.logger = _logger(cfg)  # after the settings are known to be good, since it writes to the folder
    return trainer


def _precision(name: str) -> str:
    """bf16 on GPUs that have it, fp32 elsewhere, unless asked otherwise."""
    if name != "auto":
        return name
    return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(False) else "32-true"


def _logger(cfg: DictConfig) -> Logger:
    logger: Logger = instantiate(cfg.logger)
    logger.log_hyperparams(plain(cfg))
    return logger
