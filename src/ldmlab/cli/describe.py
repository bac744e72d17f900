"""`ldmlab describe`: what a composed model consists of and what it costs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor, nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.cli.model_table import Model, facts, plain, table
from ldmlab.configs.build import from_user
from ldmlab.describe import Description, describe
from ldmlab.models.build import build_autoencoder, build_backbone, build_conditioner
from ldmlab.models.loading import load_autoencoder
from ldmlab.models.outline import without_memory
from ldmlab.types import Conditioning

WIDE = 200
"""Columns where the output is no terminal: more than the table takes, so that nothing is cut or wrapped."""


def run(cfg: DictConfig) -> None:
    """Build the model that `ldmlab train` would, without memory for what is to be trained, and print its parts."""
    model = _autoencoder(cfg) if cfg.model.name == "autoencoder" else _latent_diffusion(cfg)
    if cfg.json:
        print(json.dumps(plain(model, cfg.depth), indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(table(model, cfg.depth))
    for line in facts(model):
        console.print(line, highlight=False)


def _autoencoder(cfg: DictConfig) -> Model:
    with without_memory():
        autoencoder = build_autoencoder(cfg.autoencoder, from_user)
        discriminator = instantiate(cfg.discriminator) if cfg.discriminator else None
    dtype = getattr(torch, cfg.dtype)
    passes, latent_shape = _autoencoder_passes(autoencoder, cfg.data.image_size, dtype)
    modules: dict[str, nn.Module] = {"autoencoder": autoencoder}
    if discriminator is not None:
        passes["discriminator"] = describe(discriminator, _images(cfg.data.image_size), dtype=dtype)
        modules["discriminator"] = discriminator
    return Model(cfg.model.name, cfg.data.image_size, latent_shape, passes, modules, _setting())


def _latent_diffusion(cfg: DictConfig) -> Model:
    dtype = getattr(torch, cfg.dtype)
    autoencoder = _frozen_autoencoder(cfg)
    coding, latent_shape = _autoencoder_passes(autoencoder, cfg.data.image_size, dtype)
    channels, grid, _ = latent_shape
    with without_memory():
        conditioner = build_conditioner(cfg.conditioner, from_user).to("meta")
        conditioner.place(autoencoder, grid)
        learns_variance = instantiate(cfg.objective).learns_variance
        backbone = build_backbone(cfg.backbone, channels, grid, conditioner, learns_variance, from_user)
    conditioner.prepare([""])
    cond = _with_concat(conditioner.null(1), backbone, grid)
    latents, timesteps = torch.empty(1, *latent_shape, device="meta"), torch.zeros(1, dtype=torch.long)
    passes = {
        "conditioner": describe(conditioner, 1, method="null", dtype=dtype),
        "backbone": describe(backbone, latents, timesteps, cond, dtype=dtype),
    }
    text_tokens = None if cond.context is None else cond.context.shape[1]
    modules = {"conditioner": conditioner, "backbone": backbone, "autoencoder": autoencoder}
    return Model(cfg.model.name, cfg.data.image_size, latent_shape, passes | coding, modules, _setting(), text_tokens)


def _frozen_autoencoder(cfg: DictConfig) -> Autoencoder:
    """From its checkpoint; else the architecture that the config names, without weights; else the shipped one."""
    if cfg.autoencoder_ckpt is not None or not cfg.get("autoencoder"):
        return load_autoencoder(cfg.autoencoder_ckpt)[0].requires_grad_(False)
    with without_memory():
        return build_autoencoder(cfg.autoencoder, from_user).requires_grad_(False)


def _autoencoder_passes(
    autoencoder: Autoencoder, image_size: int, dtype: torch.dtype
) -> tuple[dict[str, Description], tuple[int, int, int]]:
    """Encoding and decoding one image, and the shape of its latents."""
    encoding = describe(autoencoder, _images(image_size), method="encode", dtype=dtype)
    side = image_size // autoencoder.factor
    latent_shape = (autoencoder.latent_channels, side, side)
    decoding = describe(autoencoder, torch.empty(1, *latent_shape, device="meta"), method="decode", dtype=dtype)
    return {"autoencoder.encode": encoding, "autoencoder.decode": decoding}, latent_shape


def _with_concat(cond: Conditioning, backbone: nn.Module, grid: int) -> Conditioning:
    """A condition with the channels that the backbone expects beside the latents, whoever will give them."""
    channels = getattr(backbone, "concat_channels", 0)
    if not channels or cond.concat is not None:
        return cond
    return replace(cond, concat=torch.empty(1, channels, grid, grid, device="meta"))


def _setting() -> str | None:
    """The experiment that was chosen, by the user or for them."""
    chosen = HydraConfig.get().runtime.choices.get("experiment")
    return None if chosen in (None, "null") else chosen


def _images(size: int) -> Tensor:
    return torch.empty(1, 3, size, size, device="meta")
