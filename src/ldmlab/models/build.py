"""Whole models from the sections of a plain config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.base import Conditioner
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.objectives import Objective
from ldmlab.diffusion.parameterizations import Parameterization
from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.models.component import build_component
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.outline import without_memory

DIFFUSION_GROUPS = ("backbone", "conditioner", "schedule", "parameterization", "objective")
LARGEST_GRID = 512
"""Latents of a side, in a model from a file."""
OBJECTIVE = {"_target_": "ldmlab.diffusion.objectives.Simple"}
"""That of checkpoints which name none."""

Make = Callable[..., Any]
"""(section, kind, the section's name, further arguments) -> component: `build_component`, or one for users' configs."""


def build_autoencoder(config: Mapping[str, Any], make: Make = build_component) -> Autoencoder:
    """The autoencoder of a config's `autoencoder` section, untrained."""
    autoencoder: Autoencoder = make(config, Autoencoder, "autoencoder")
    return autoencoder


def build_conditioner(config: Mapping[str, Any], make: Make = build_component) -> Conditioner:
    """The conditioner of a config's `conditioner` section, untrained."""
    conditioner: Conditioner = make(config, Conditioner, "conditioner")
    return conditioner


def build_backbone(
    config: Mapping[str, Any],
    channels: int,
    grid: int,
    conditioner: Conditioner,
    learns_variance: bool = False,
    make: Make = build_component,
) -> nn.Module:
    """The backbone of a config's `backbone` section, made to fit the latents, the conditioner and the objective.

    Raises:
        ValueError: the config asks for another number of channels beside the latents than the conditioner gives.
    """
    widths = {"context_width": conditioner.context_width, "vector_width": conditioner.vector_width}
    if conditioner.concat_channels:
        asked = config.get("concat_channels", 0)
        if asked not in (0, conditioner.concat_channels):
            raise ValueError(
                f"backbone.concat_channels={asked}: the conditioner gives {conditioner.concat_channels}; leave it at 0"
            )
        widths["concat_channels"] = conditioner.concat_channels
        config = {name: value for name, value in config.items() if name != "concat_channels"}
    outputs = (1 + learns_variance) * channels
    backbone: nn.Module = make(
        config, nn.Module, "backbone", channels=channels, grid=grid, out_channels=outputs, **widths
    )
    return backbone


def build_latent_diffusion(
    config: Mapping[str, Any], autoencoder: Autoencoder, make: Make = build_component
) -> LatentDiffusion:
    """An untrained text-to-image model on the latents of an autoencoder.

    Args:
        config: plain `backbone`, `conditioner`, `schedule`, `parameterization`, `objective` (if any) and `image_size`.
        autoencoder: trained.
        make: builds a section.

    Raises:
        ValueError: the autoencoder's factor does not divide the image size.
    """
    size = config["image_size"]
    if size % autoencoder.factor:
        raise ValueError(
            f"data.image_size={size}: the autoencoder's factor {autoencoder.factor} does not divide it; "
            f"use a multiple of {autoencoder.factor}"
        )
    grid = size // autoencoder.factor
    conditioner = build_conditioner(config["conditioner"], make)
    conditioner.place(autoencoder, grid)
    objective: Objective = make(config.get("objective", OBJECTIVE), Objective, "objective")
    channels = autoencoder.latent_channels
    backbone = build_backbone(config["backbone"], channels, grid, conditioner, objective.learns_variance, make)
    with torch.device("cpu"):  # levels are looked at, also where the rest is built on the meta device
        schedule = make(config["schedule"], NoiseSchedule, "schedule")
        parameterization = make(config["parameterization"], Parameterization, "parameterization")
        denoiser = Denoiser(backbone, schedule, parameterization, objective)
    return LatentDiffusion(autoencoder, denoiser, conditioner, grid)


class AutoencoderAlone(nn.Module):
    """An autoencoder, whose weights have the names that they have in a file without the rest of a model."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.autoencoder = build_autoencoder(config)


class ConditionerAlone(nn.Module):
    """A conditioner with the names of a stored file that holds it alone."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.conditioner = build_conditioner(config)


def build_model(config: Mapping[str, Any]) -> LatentDiffusion | AutoencoderAlone | ConditionerAlone:
    """What a stored config describes, with the names of its file: a whole model, or a part that stands alone.

    Raises:
        ValueError: there is no such model, or it draws on a larger grid than anyone would wait for.
    """
    if config["model"] == "conditioner":
        return ConditionerAlone(config["conditioner"])
    if config["model"] == "autoencoder":
        return AutoencoderAlone(config["autoencoder"])
    return build_whole(config)


def build_whole(config: Mapping[str, Any]) -> LatentDiffusion:
    """The latent diffusion model that a stored config describes, with its autoencoder.

    Raises:
        ValueError: there is no such model, or it draws on a larger grid than anyone would wait for.
    """
    model = build_latent_diffusion(config, build_autoencoder(config["autoencoder"]))
    if model.latent_shape[1] > LARGEST_GRID:
        raise ValueError(
            f"image_size={config['image_size']}: makes a latent grid of {model.latent_shape[1]} a side, of "
            f"{LARGEST_GRID} at most"
        )
    return model


def build_outline(config: Mapping[str, Any]) -> nn.Module:
    """`build_model` without memory for its weights, to compare names and shapes with."""
    with without_memory():
        return build_model(config)
