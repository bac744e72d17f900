"""What the keys `precision` and `compile` make of a command's networks."""

from __future__ import annotations

import logging

import torch
from omegaconf import DictConfig
from torch import nn

from ldmlab.cli.trainer import run_precision
from ldmlab.compiling import compile_networks, pays
from ldmlab.precision import Precision, lay_out
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

log = logging.getLogger(__name__)


def ready_to_train(
    cfg: DictConfig, module: AutoencoderTraining | LatentDiffusionTraining, device: torch.device, steps: int
) -> Precision:
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
    if pays(cfg.compile, device, steps):
        compile_networks(_called_in_each_step(cfg, module))
    return precision


def _called_in_each_step(cfg: DictConfig, module: AutoencoderTraining | LatentDiffusionTraining) -> list[nn.Module]:
    if isinstance(module, AutoencoderTraining):
        return [module.autoencoder]
    model = module.model
    return [model.denoiser.backbone, *([] if cfg.cache_latents else [model.autoencoder.encoder])]
