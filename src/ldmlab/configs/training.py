"""Builds a run of training from the composed config of `ldmlab train`, and trains."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ldmlab.configs.build import from_user, resolved
from ldmlab.configs.filters import build_filter
from ldmlab.data.needs import Needs
from ldmlab.data.training_data import TrainingData
from ldmlab.models.build import DIFFUSION_GROUPS
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.shipped import SHIPPED_MODEL, is_shipped
from ldmlab.progress import quiet_lightning, track
from ldmlab.training.adapting import adapter_to_train
from ldmlab.training.base import OptimizerFactory, Training
from ldmlab.training.begin import Beginning, autoencoder_to_train, diffusion_to_train
from ldmlab.training.export import ADAPTER, MODEL, Export
from ldmlab.training.learning_rate import LearningRate
from ldmlab.training.optimizers import optimizer_factory
from ldmlab.training.origin import read_origin
from ldmlab.training.resume import find_start
from ldmlab.training.run import Run, seed_everything, telling_how_to_go_on, train
from ldmlab.training.trained_on import remembered
from ldmlab.training.trainer import KINDS, Trainer, make_trainer

OF_THE_INTERVAL = ("interval", "frequency", "monitor")
"""Keys of a scheduler's section that say when it is stepped."""


def train_from(cfg: DictConfig) -> float | None:
    """Do what the config of `ldmlab train` says; see `ldmlab.training.run.train`.

    Args:
        cfg: whole; `output_dir` is the folder of the run.

    Returns:
        The last value of the figure that `figure` names; None where it was not logged.

    Raises:
        ValueError: bad input.
        Stopped: a signal ended the run.
    """
    quiet_lightning()
    folder = Path(cfg.output_dir)
    with telling_how_to_go_on(folder):
        start = find_start(folder, cfg.ckpt_path)
        trainer = build_trainer(cfg)
        seed_everything(cfg.seed)
        data: TrainingData = instantiate(cfg.data, _partial_=True)(seed=cfg.seed, filter=build_filter(cfg))
        data.progress = partial(track, what="reading shards")
        data.allow_other_data = cfg.allow_other_data
        data.require_source()
        origin = None if cfg.get("adapter") else read_origin(cfg.init_ckpt)
        beginning = Beginning(start, origin, from_user)
        module = build_training(cfg, data, beginning)
        module.trained_on = remembered(cfg.data, data)
        export = Export(folder, cfg.export_half, _lender(cfg), ADAPTER if cfg.get("adapter") else MODEL)
        run = Run(export, start, **_rest(cfg), settings=resolved(cfg))
        return train(module, data, trainer, run)


def build_trainer(cfg: DictConfig) -> Trainer:
    """The Trainer of a run, with its callbacks and loggers; see `ldmlab.training.trainer.make_trainer`."""
    make = instantiate(cfg.trainer, _partial_=True, _convert_="all")
    callbacks, loggers = instances(cfg, "callbacks"), instances(cfg, "logger")
    folder, background = Path(cfg.output_dir), cfg.checkpoint_async
    return make_trainer(make, folder, cfg.precision, callbacks, loggers, background)


def instances(cfg: DictConfig, group: str) -> list[Any]:
    """One object of each entry of a group of which several options may be chosen; entries that are null are none.

    Raises:
        ValueError: an entry makes something else than the group is of.
    """
    made, kind = [], KINDS[group]
    for name, section in (cfg.get(group) or {}).items():
        each = None if section is None else instantiate(section, _convert_="all")
        if isinstance(each, kind):
            made.append(each)
        elif section is not None:
            target = f"{group}.{name}._target_={section.get('_target_')}"
            raise ValueError(
                f"{target}: makes a {type(each).__name__}; name a class that is a {kind.__name__} of Lightning"
            )
    return made


def build_training(cfg: DictConfig, data: TrainingData, beginning: Beginning) -> Training:
    """What is trained, which tells its data what it needs of them."""
    return (_autoencoder if cfg.model.name == "autoencoder" else _latent_diffusion)(cfg, data, beginning)


def build_optimizer(section: Mapping[str, Any]) -> OptimizerFactory:
    """The factory of a config's `optimizer` group.

    Raises:
        ValueError: a key that the optimizer does not take.
    """
    return optimizer_factory(instantiate(section, _partial_=True, _convert_="all"))


def build_learning_rate(section: Mapping[str, Any]) -> LearningRate:
    """What a config's `scheduler` group says.

    Raises:
        ValueError: an interval or a frequency that there is not.
    """
    own = {name: value for name, value in section.items() if name not in OF_THE_INTERVAL}
    when = {name: section[name] for name in OF_THE_INTERVAL if name in section}
    return LearningRate(instantiate(own, _partial_=True, _convert_="all"), **when)


def _autoencoder(cfg: DictConfig, data: TrainingData, beginning: Beginning) -> Training:
    data.needs = Needs(captions=False)
    autoencoder, config = autoencoder_to_train(resolved(cfg.autoencoder), cfg.data.image_size, beginning)
    training: Training = instantiate(cfg.training, _partial_=True)(
        autoencoder=autoencoder,
        loss=instantiate(cfg.loss),
        discriminator=instantiate(cfg.discriminator) if cfg.discriminator else None,
        optimizer=build_optimizer(cfg.optimizer),
        learning_rate=build_learning_rate(cfg.scheduler),
        model_config=config,
        seed=cfg.seed,
    )
    return training


def _latent_diffusion(cfg: DictConfig, data: TrainingData, beginning: Beginning) -> Training:
    model, config = (_adapted if cfg.get("adapter") else _whole)(cfg, beginning)
    data.needs = Needs.of(model.conditioner.reads, model.conditioner.classes)
    training: Training = instantiate(cfg.training, _partial_=True)(
        model=model,
        optimizer=build_optimizer(cfg.optimizer),
        learning_rate=build_learning_rate(cfg.scheduler),
        timestep_sampling=instantiate(cfg.timestep_sampling),
        model_config=config,
        seed=cfg.seed,
    )
    return training


def _whole(cfg: DictConfig, beginning: Beginning) -> tuple[LatentDiffusion, dict[str, Any]]:
    if cfg.autoencoder_ckpt is None and beginning.origin is not None and beginning.origin.has_autoencoder:
        cfg.autoencoder_ckpt = cfg.init_ckpt  # latents that its denoiser knows
    _require_an_autoencoder(cfg)
    sections = {group: resolved(cfg[group]) for group in DIFFUSION_GROUPS}
    return diffusion_to_train(sections, cfg.data.image_size, beginning, cfg.autoencoder_ckpt, cfg.conditioner_ckpt)


def _adapted(cfg: DictConfig, beginning: Beginning) -> tuple[LatentDiffusion, dict[str, Any]]:
    cfg.autoencoder_ckpt = cfg.init_ckpt
    begin = None if beginning.start else cfg.adapter_ckpt
    return adapter_to_train(resolved(cfg.adapter), cfg.init_ckpt, cfg.data.image_size, begin, beginning.make)


def _require_an_autoencoder(cfg: DictConfig) -> None:
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


def _lender(cfg: DictConfig) -> str | None:
    """The model that is named in the place of an autoencoder."""
    return None if cfg.get("export_autoencoder", True) else cfg.autoencoder_ckpt or SHIPPED_MODEL


def _rest(cfg: DictConfig) -> dict[str, Any]:
    """Of the settings of a `Run`, those that are keys of the command."""
    rest: dict[str, Any] = {"compile": cfg.compile, "figure": cfg.figure}
    if cfg.model.name == "autoencoder":
        return rest
    words = next((f"{key}={cfg[key]}" for key in ("conditioner_ckpt", "init_ckpt") if cfg[key] is not None), None)
    name = OmegaConf.select(cfg, "autoencoder_ckpt") or SHIPPED_MODEL
    return {**rest, "cache_latents": cfg.cache_latents, "latents": instantiate(cfg.latents), "autoencoder": name,
            "min_psnr": cfg.min_psnr, "words_from": words}  # fmt: skip
