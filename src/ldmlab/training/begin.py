"""Makes the model that a run is to train: from nothing, from the weights of another, or as its checkpoint has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.base import Conditioner
from ldmlab.models.build import DIFFUSION_GROUPS, Make, build_autoencoder, build_latent_diffusion
from ldmlab.models.checkpoints import load_weights
from ldmlab.models.component import build_component
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_autoencoder, stored_part
from ldmlab.training.origin import Origin, begin_from
from ldmlab.training.resume import Start

Config = dict[str, Any]


@dataclass(frozen=True)
class Beginning:
    """What a model begins with.

    Attributes:
        start: the checkpoint that the run goes on from, whose weights follow.
        origin: the model whose weights it takes over as far as they fit; with a `start`, only what is built like it.
        make: builds a section of a config, see `ldmlab.models.build.Make`.
    """

    start: Start | None = None
    origin: Origin | None = None
    make: Make = build_component

    def take_over(self, model: nn.Module, config: Config) -> None:
        """Take what fits, unless the run goes on."""
        if self.origin is not None and self.start is None:
            begin_from(self.origin, model, config)


def autoencoder_to_train(
    section: Mapping[str, Any], image_size: int, beginning: Beginning
) -> tuple[Autoencoder, Config]:
    """An autoencoder, and the config that builds it.

    Args:
        section: its plain config.
        image_size: in pixels.
        beginning: what it begins with.
    """
    config = {"model": "autoencoder", "autoencoder": dict(section), "image_size": image_size}
    autoencoder = build_autoencoder(section, beginning.make)
    beginning.take_over(nn.ModuleDict({"autoencoder": autoencoder}), config)
    return autoencoder, config


def diffusion_to_train(
    sections: Mapping[str, Any],
    image_size: int,
    beginning: Beginning,
    autoencoder_ckpt: str | None = None,
    conditioner_ckpt: str | None = None,
) -> tuple[LatentDiffusion, Config]:
    """A latent diffusion model, and the config that builds it.

    Args:
        sections: plain configs of `DIFFUSION_GROUPS`.
        image_size: in pixels.
        beginning: what it begins with.
        autoencoder_ckpt: of its frozen autoencoder; None is the shipped one.
        conditioner_ckpt: whose conditioner it begins with; None for none.

    Raises:
        ValueError: a checkpoint that cannot be read, or parts that do not go together.
    """
    autoencoder, autoencoder_config = load_autoencoder(autoencoder_ckpt)
    config: Config = {group: sections[group] for group in DIFFUSION_GROUPS}
    config |= {"model": "latent_diffusion", "autoencoder": autoencoder_config, "image_size": image_size}
    base = _base_grid(config["backbone"], image_size // autoencoder.factor, beginning)
    if base is not None:
        config["backbone"] = {**config["backbone"], "base_grid": base}
    build_autoencoder(autoencoder_config)  # for what it draws: a seed gives the initial weights that it always gave
    model = build_latent_diffusion(config, autoencoder, beginning.make)
    config["conditioner"] = _movable(config["conditioner"])
    beginning.take_over(model, config)
    if conditioner_ckpt is not None:
        _begin_conditioner(model.conditioner, conditioner_ckpt)
    return model, config


def _base_grid(backbone: Mapping[str, Any], grid: int, beginning: Beginning) -> int | None:
    """The grid whose positions are stretched over this one: as the run began, or as its origin has them."""
    if beginning.start is not None:
        stored = beginning.start.content["config"].get("backbone")
        return stored.get("base_grid") if isinstance(stored, dict) else None
    return None if beginning.origin is None else beginning.origin.base_grid(backbone, grid)


def _begin_conditioner(conditioner: Conditioner, ckpt: str) -> None:
    """Take over another model's conditioner whole, which an experiment may ask for that was meant for another one."""
    try:
        _, state, path = stored_part(ckpt, "conditioner")
        load_weights(conditioner, state, path)
    except ValueError as error:
        reason = str(error).replace("ckpt=", "conditioner_ckpt=", 1)
        raise ValueError(f"{reason}; conditioner_ckpt=null starts from nothing") from error


def _movable(conditioner: Config) -> Config:
    """A conditioner's config without its weights file: the weights themselves are in the checkpoint."""
    if isinstance(conditioner.get("text"), dict):
        return {**conditioner, "text": _movable(conditioner["text"])}
    if "weights" not in conditioner:
        return conditioner
    if conditioner["weights"] is None:
        raise ValueError("conditioner.weights=null: give the file with the weights to train with")
    return {**conditioner, "weights": None}
