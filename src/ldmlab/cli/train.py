"""`ldmlab train`: an autoencoder or a latent diffusion model."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import instantiate
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from torch import Tensor, nn

from ldmlab.cli.export_run import MODEL, export_run, is_exported
from ldmlab.cli.initialise import Origin, begin_from, origin
from ldmlab.cli.optimizer import build_optimizer
from ldmlab.cli.resume import CHECKPOINT, Start, find_start, last_good, require_same_run
from ldmlab.cli.suitability import require_suitable
from ldmlab.cli.trainer import equip, make_trainer, ready_to_train
from ldmlab.conditioners.base import Conditioner
from ldmlab.configs.build import from_user, resolved
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.needs import Needs
from ldmlab.data.problems import summarise, write_problems
from ldmlab.models.build import DIFFUSION_GROUPS, build_autoencoder, build_latent_diffusion
from ldmlab.models.checkpoints import load_weights
from ldmlab.models.fingerprint import state_sha256
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_autoencoder, stored_part
from ldmlab.models.shipped import is_shipped
from ldmlab.progress import quiet_lightning, track
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.callbacks.going_on import finish
from ldmlab.training.failures import NonFiniteError
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.signals import STOP, Stopped
from ldmlab.training.trained_on import remembered

log = logging.getLogger(__name__)
PROBLEMS = "data_problems.csv"

Training = AutoencoderTraining | LatentDiffusionTraining


def run(cfg: DictConfig) -> None:
    """Train, and export the averaged weights as `model.safetensors` at the end. What is cheap to refuse comes first."""
    quiet_lightning()
    folder = Path(cfg.output_dir)
    try:
        _run(cfg, folder)
    except Stopped as stop:
        raise Stopped(stop.number, last_good(folder, "give the same command again")) from None


def _run(cfg: DictConfig, folder: Path) -> None:
    start = find_start(cfg)
    trainer = make_trainer(cfg)
    L.seed_everything(cfg.seed, verbose=False)
    data: ShardDataModule = instantiate(cfg.data, seed=cfg.seed)
    data.progress = partial(track, what="reading shards")
    data.require_shards()
    make = _autoencoder if cfg.model.name == "autoencoder" else _latent_diffusion
    module = make(cfg, data, origin(cfg), start)
    module.learning_rate(cfg.trainer.max_steps)  # refuses a run that is too short for it
    if not data.train_set.index.problems:  # which are told where they are found
        log.info(data.train_set.index.summary())
    module.trained_on = remembered(cfg.data, data)
    if start is not None:
        require_same_run(cfg, module, data, start)
    elif isinstance(module, LatentDiffusionTraining):
        module.model.conditioner.prepare(data.train_set.index.captions)
        # a run that is resumed did so when it began
        require_suitable(cfg, module.model, data, trainer.strategy.root_device)
    if start is not None:
        if _has_ended(cfg, start):
            return
        start = start.without_tensors()
    left = cfg.trainer.max_steps - (start.steps if start else 0)
    precision = ready_to_train(cfg, module, trainer.strategy.root_device, left)
    with _wandb_finished(), precision.arithmetic():
        _fit(trainer, cfg, module, data, start)
    if data.train_set.corrupt:
        log.warning("replaced in training: %s", summarise(data.train_set.corrupt))
    if trainer.is_global_zero:
        export_run(cfg, start.path if start and start.steps >= trainer.global_step else folder / CHECKPOINT)


def _has_ended(cfg: DictConfig, start: Start) -> bool:
    """Whether a checkpoint has all steps, and all that follows the last one is done as well."""
    if start.steps < cfg.trainer.max_steps:
        return False
    told = f"has {start.steps} steps already; raise trainer.max_steps to train on"
    if not start.own:
        raise ValueError(f"ckpt_path={start.path}: {told}")
    if not is_exported(cfg, start.path):
        return False
    print(f"{start.path}: {told}; model: {start.path.with_name(MODEL)}")
    return True


def _fit(trainer: L.Trainer, cfg: DictConfig, module: Training, data: ShardDataModule, start: Start | None) -> None:
    folder = Path(cfg.output_dir)
    try:
        equip(trainer, cfg, module, data)
        if isinstance(module, LatentDiffusionTraining) and cfg.cache_latents:
            _cache_latents(data, module.model, trainer.strategy.root_device)
        if problems := data.train_set.index.problems:
            write_problems(folder / PROBLEMS, problems)
            log.info("every problem of the data is named in %s", folder / PROBLEMS)
        with STOP.deferred():
            trainer.fit(module, data, ckpt_path=None if start is None else start.path)
        asked = STOP.asked()
        if asked is not None:
            raise asked
        if start is not None and start.steps >= cfg.trainer.max_steps:
            finish(trainer, module, data)
        _tell_of_an_early_end(trainer, cfg, start)
    except SystemExit as error:  # Lightning's answer to SIGTERM, where it comes before the first step
        raise STOP.asked() or error from None
    except NonFiniteError as error:
        raise ValueError(f"{error}; {last_good(folder, 'begin anew')}") from error
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error


def _tell_of_an_early_end(trainer: L.Trainer, cfg: DictConfig, start: Start | None) -> None:
    """Say why a run has ended before its last step.

    Raises:
        ValueError: it has not trained at all, and has no checkpoint.
    """
    steps, settings = trainer.global_step, cfg.trainer
    if steps >= settings.max_steps:
        return
    if settings.max_time is None:
        why = f"trainer.limit_train_batches={settings.limit_train_batches} leaves no batch"
    else:
        why = f"trainer.max_time={settings.max_time} is over, which counts from the begin of the run; raise it"
    if not (start.own if start else steps):
        raise ValueError(f"nothing was trained: {why}")
    log.warning("the run ends at step %d of %d: %s", steps, settings.max_steps, why)


def _autoencoder(
    cfg: DictConfig, data: ShardDataModule, begun: Origin | None, start: Start | None
) -> AutoencoderTraining:
    data.needs = Needs(captions=False)
    config = {"model": "autoencoder", "autoencoder": resolved(cfg.autoencoder), "image_size": cfg.data.image_size}
    autoencoder = build_autoencoder(cfg.autoencoder, from_user)
    if begun is not None and start is None:
        begin_from(begun, nn.ModuleDict({"autoencoder": autoencoder}), config)
    make = instantiate(cfg.training, _partial_=True)
    return make(
        autoencoder=autoencoder,
        loss=instantiate(cfg.loss),
        discriminator=instantiate(cfg.discriminator) if cfg.discriminator else None,
        optimizer=build_optimizer(cfg.optimizer),
        model_config=config,
    )


def _latent_diffusion(
    cfg: DictConfig, data: ShardDataModule, begun: Origin | None, start: Start | None
) -> LatentDiffusionTraining:
    if cfg.autoencoder_ckpt is None and begun is not None and begun.has_autoencoder:
        cfg.autoencoder_ckpt = cfg.init_ckpt  # latents that its denoiser knows
    if cfg.autoencoder_ckpt is None and cfg.get("autoencoder"):
        raise ValueError(
            "autoencoder_ckpt=null: the setting is for an autoencoder of its own; train that one "
            "(ldmlab train model=autoencoder autoencoder=NAME) and give its checkpoint"
        )
    if not cfg.export_autoencoder and not is_shipped(cfg.autoencoder_ckpt):
        raise ValueError(
            f"export_autoencoder=false: autoencoder_ckpt={cfg.autoencoder_ckpt} does not come with ldmlab, so nobody "
            "could load the model; leave it at true"
        )
    autoencoder, autoencoder_config = load_autoencoder(cfg.autoencoder_ckpt)
    config: dict[str, Any] = {group: resolved(cfg[group]) for group in DIFFUSION_GROUPS}
    config |= {"model": "latent_diffusion", "autoencoder": autoencoder_config, "image_size": cfg.data.image_size}
    if start is not None:
        stored = start.content["config"].get("backbone")
        base = stored.get("base_grid") if isinstance(stored, dict) else None
    else:
        grid = cfg.data.image_size // autoencoder.factor
        base = None if begun is None else begun.base_grid(config["backbone"], grid)
    if base is not None:
        config["backbone"] = {**config["backbone"], "base_grid": base}
    build_autoencoder(autoencoder_config)  # for what it draws: a seed gives the initial weights that it always gave
    model = build_latent_diffusion(config, autoencoder, from_user)
    config["conditioner"] = _movable(config["conditioner"])
    if begun is not None and start is None:
        begin_from(begun, model, config)
    if cfg.conditioner_ckpt is not None:
        _begin_conditioner(model.conditioner, cfg.conditioner_ckpt)
    data.needs = Needs.of(model.conditioner.reads, model.conditioner.classes)
    make = instantiate(cfg.training, _partial_=True)
    return make(
        model=model,
        optimizer=build_optimizer(cfg.optimizer),
        timestep_sampling=instantiate(cfg.timestep_sampling),
        model_config=config,
    )


def _begin_conditioner(conditioner: Conditioner, ckpt: str) -> None:
    """Take over another model's conditioner whole, which an experiment may ask for that was meant for another one."""
    try:
        _, state, path = stored_part(ckpt, "conditioner")
        load_weights(conditioner, state, path)
    except ValueError as error:
        told = str(error).replace("ckpt=", "conditioner_ckpt=", 1)
        raise ValueError(f"{told}; conditioner_ckpt=null starts from nothing") from error


def _movable(conditioner: dict[str, Any]) -> dict[str, Any]:
    """A conditioner's config without its weights file: the weights themselves are in the checkpoint."""
    if isinstance(conditioner.get("text"), dict):
        return {**conditioner, "text": _movable(conditioner["text"])}
    if "weights" not in conditioner:
        return conditioner
    if conditioner["weights"] is None:
        raise ValueError("conditioner.weights=null: give the file with the weights to train with")
    return {**conditioner, "weights": None}


def _cache_latents(data: ShardDataModule, model: LatentDiffusion, device: torch.device) -> None:
    """A conditioner that reads pictures gets them beside their latents."""
    autoencoder = model.autoencoder.to(device)

    def moments(images: Tensor) -> tuple[Tensor, Tensor]:
        return autoencoder.moments(images.to(device))

    data.use_latents(
        moments,
        state_sha256(autoencoder),
        progress=lambda batches: track(batches, "encoding images"),
        keep_images=model.conditioner.concat_channels > 0,
    )
    autoencoder.to("cpu")


@contextmanager
def _wandb_finished() -> Iterator[None]:
    """End the W&B run, if there is one, on every way out: as failed after an error."""
    exit_code = 1
    try:
        yield
        exit_code = 0
    finally:
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish(exit_code=exit_code)
