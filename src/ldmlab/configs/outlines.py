"""The networks that a config for training describes, without memory for what is to be trained."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from ldmlab.adapters.base import Adapter, train_adapter_alone
from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.base import Conditioner
from ldmlab.configs.build import from_user
from ldmlab.models.build import build_autoencoder, build_backbone, build_conditioner
from ldmlab.models.loading import load_autoencoder
from ldmlab.models.outline import without_memory


def outline_autoencoder(cfg: DictConfig) -> tuple[Autoencoder, nn.Module | None]:
    """The autoencoder that `model=autoencoder` trains, and its discriminator, if it has one."""
    with without_memory():
        autoencoder = build_autoencoder(cfg.autoencoder, from_user)
        return autoencoder, instantiate(cfg.discriminator) if cfg.discriminator else None


def frozen_autoencoder(cfg: DictConfig) -> Autoencoder:
    """From its checkpoint; else the architecture that the config names, without weights; else the shipped one."""
    if cfg.autoencoder_ckpt is not None or not cfg.get("autoencoder"):
        return load_autoencoder(cfg.autoencoder_ckpt)[0].requires_grad_(False)
    with without_memory():
        return build_autoencoder(cfg.autoencoder, from_user).requires_grad_(False)


def outline_denoiser(cfg: DictConfig, autoencoder: Autoencoder, grid: int) -> tuple[Conditioner, nn.Module]:
    """The conditioner and the backbone that `model=latent_diffusion` trains.

    Args:
        cfg: of a command that trains.
        autoencoder: whose latents they work on.
        grid: the latents' side.

    Raises:
        ValueError: the parts do not go together.
    """
    with without_memory():
        conditioner = build_conditioner(cfg.conditioner, from_user).to("meta")
        conditioner.place(autoencoder, grid)
        learns_variance = instantiate(cfg.objective).learns_variance
        channels = autoencoder.latent_channels
        backbone = build_backbone(cfg.backbone, channels, grid, conditioner, learns_variance, from_user)
        if cfg.get("adapter"):
            from_user(cfg.adapter, Adapter, "adapter").attach(backbone)
            train_adapter_alone(conditioner)
            train_adapter_alone(backbone)
    return conditioner, backbone
