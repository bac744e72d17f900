"""`ldmlab train`: an autoencoder or a latent diffusion model."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from hydra.utils import instantiate
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from torch import Tensor

from ldmlab.cli.build import (
    DIFFUSION_GROUPS,
    LENDER,
    OBJECTIVE,
    SHIPPED_MODEL,
    build_autoencoder,
    build_latent_diffusion,
    is_shipped,
    load_autoencoder,
    pick_device,
    plain,
    stored_part,
    with_defaults,
)
from ldmlab.cli.progress import quiet_lightning, track
from ldmlab.cli.trainer import CHECKPOINT, make_trainer
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.problems import summarise
from ldmlab.pipeline import LatentDiffusion
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.checkpoints import (
    export_weights,
    load_weights,
    read_checkpoint,
    read_lightning,
    require_fit,
)
from ldmlab.training.failures import NonFiniteError
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.state import state_sha256

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> None:
    """Train, and export the averaged weights as `model.safetensors` at the end."""
    quiet_lightning()
    folder = Path(cfg.output_dir)
    if cfg.ckpt_path is None and (folder / CHECKPOINT).exists():
        raise ValueError(
            f"output_dir={folder}: holds a run already; go on with it by ckpt_path=last, or give another folder"
        )
    L.seed_everything(cfg.seed, verbose=False)
    data: ShardDataModule = instantiate(cfg.data, seed=cfg.seed)
    data.train_set  # noqa: B018 - reads the index, so that bad data fails before a model is built
    log.info(data.train_set.index.summary())
    module = _autoencoder(cfg) if cfg.model.name == "autoencoder" else _latent_diffusion(cfg, data)
    ckpt = _resume_from(cfg, module)
    with _wandb_finished():
        trainer = _fit(cfg, module, data, ckpt)
    if data.train_set.corrupt:
        log.warning("replaced in training: %s", summarise(data.train_set.corrupt))
    if trainer.is_global_zero:
        _export(cfg, folder)


def _fit(cfg: DictConfig, module: L.LightningModule, data: ShardDataModule, ckpt: str | None) -> L.Trainer:
    folder = Path(cfg.output_dir)
    try:
        trainer = make_trainer(cfg, module, data, folder)
        if isinstance(module, LatentDiffusionTraining) and cfg.cache_latents:
            _cache_latents(data, module.model, cfg.trainer.accelerator)
        trainer.fit(module, data, ckpt_path=ckpt)
    except NonFiniteError as error:
        raise ValueError(f"{error}; {_last_good(folder)}") from error
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error
    except (SystemExit, KeyboardInterrupt) as error:  # how Lightning ends after Ctrl-C and SIGTERM
        log.warning("stopped early; %s", _last_good(folder))
        raise KeyboardInterrupt from error
    return trainer


def _autoencoder(cfg: DictConfig) -> AutoencoderTraining:
    config = {"model": "autoencoder", "autoencoder": plain(cfg.autoencoder), "image_size": cfg.data.image_size}
    make = instantiate(cfg.training, _partial_=True)
    return make(
        autoencoder=build_autoencoder(cfg.autoencoder),
        loss=instantiate(cfg.loss),
        discriminator=instantiate(cfg.discriminator) if cfg.discriminator else None,
        optimizer=instantiate(cfg.optimizer),
        model_config=config,
    )


def _latent_diffusion(cfg: DictConfig, data: ShardDataModule) -> LatentDiffusionTraining:
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
    config: dict[str, Any] = {group: plain(cfg[group]) for group in DIFFUSION_GROUPS}
    config |= {"model": "latent_diffusion", "autoencoder": autoencoder_config, "image_size": cfg.data.image_size}
    model = build_latent_diffusion(config, autoencoder)
    config["conditioner"] = _movable(config["conditioner"])
    if cfg.conditioner_ckpt is not None:
        _, state, path = stored_part(cfg.conditioner_ckpt, "conditioner")
        load_weights(model.conditioner, state, path)
    model.conditioner.prepare(list(data.train_set.index.captions))
    make = instantiate(cfg.training, _partial_=True)
    return make(
        model=model,
        optimizer=instantiate(cfg.optimizer),
        timestep_sampling=instantiate(cfg.timestep_sampling),
        model_config=config,
    )


def _movable(conditioner: dict[str, Any]) -> dict[str, Any]:
    """A conditioner's config without its weights file: the weights themselves are in the checkpoint."""
    if isinstance(conditioner.get("text"), dict):
        return {**conditioner, "text": _movable(conditioner["text"])}
    if "weights" not in conditioner:
        return conditioner
    if conditioner["weights"] is None:
        raise ValueError("conditioner.weights=null: give the file with the weights to train with")
    return {**conditioner, "weights": None}


def _cache_latents(data: ShardDataModule, model: LatentDiffusion, accelerator: str) -> None:
    """A conditioner that reads pictures gets them beside their latents."""
    device = pick_device("cpu" if accelerator == "cpu" else "auto")
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


def _resume_from(cfg: DictConfig, module: AutoencoderTraining | LatentDiffusionTraining) -> str | None:
    """The checkpoint to go on from, refused where this run could not go on as that one would have."""
    if cfg.ckpt_path is None:
        return None
    path = Path(cfg.output_dir) / CHECKPOINT if cfg.ckpt_path == "last" else Path(cfg.ckpt_path)
    if not path.is_file():
        raise ValueError(f"ckpt_path={cfg.ckpt_path}: no such file as {path}; give output_dir= of the run to go on")
    checkpoint, config = read_lightning(path), module.model_config
    stored = checkpoint.get("config")
    if stored is None:
        raise ValueError(f"ckpt_path={path}: this is no training checkpoint of ldmlab")
    stored = _up_to_date(stored, config)
    for group in sorted({*stored, *config}):
        if stored.get(group) != config.get(group):
            raise ValueError(
                f"ckpt_path={path}: was trained with {group}={stored.get(group)}, this run has {config.get(group)}; "
                "resume with the same model"
            )
    if checkpoint["global_step"] >= cfg.trainer.max_steps:
        raise ValueError(f"ckpt_path={path}: has {checkpoint['global_step']} steps already; raise trainer.max_steps")
    require_fit(module.state_dict(), checkpoint["state_dict"], path)
    if isinstance(module, LatentDiffusionTraining):
        _require_same_autoencoder(module, checkpoint["state_dict"], path)
    return str(path)


def _up_to_date(stored: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's stored config with what came to ldmlab after it began, at what it had then."""
    whole = {**stored, "objective": stored.get("objective", OBJECTIVE)} if "objective" in config else dict(stored)
    for group, option in whole.items():
        now = config.get(group)
        if isinstance(option, dict) and isinstance(now, dict) and option.get("_target_") == now.get("_target_"):
            whole[group] = with_defaults(option, now)
    return whole


def _require_same_autoencoder(module: LatentDiffusionTraining, state: Mapping[str, Tensor], path: Path) -> None:
    for name, value in module.model.autoencoder.state_dict().items():
        if not torch.equal(value, state[f"model.autoencoder.{name}"]):
            raise ValueError(f"ckpt_path={path}: was trained on another autoencoder; give its autoencoder_ckpt=")


def _last_good(folder: Path) -> str:
    path = folder / CHECKPOINT
    if not path.exists():
        return "there is no checkpoint yet"
    return f"the last good checkpoint is {path}; go on from it with ckpt_path=last output_dir={folder}"


def _export(cfg: DictConfig, folder: Path) -> None:
    checkpoint = read_checkpoint(folder / CHECKPOINT)
    state = {k: v for k, v in checkpoint.state.items() if _belongs(cfg.model.name, k)}
    path = folder / "model.safetensors"
    config = checkpoint.config
    if not cfg.get("export_autoencoder", True):
        state = {name: tensor for name, tensor in state.items() if not name.startswith("autoencoder.")}
        config = {**config, LENDER: cfg.autoencoder_ckpt or SHIPPED_MODEL}
    export_weights(path, state, config, checkpoint.ema, half=cfg.export_half)
    print(f"model: {path}")


def _belongs(model: str, name: str) -> bool:
    return model != "autoencoder" or name.startswith("autoencoder.")


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
