"""`ldmlab describe`: what a composed model consists of and what it costs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from ldmlab.configs.outlines import frozen_autoencoder, outline_autoencoder, outline_denoiser
from ldmlab.counting.model_description import ModelDescription, describe_autoencoder, describe_latent_diffusion
from ldmlab.counting.model_table import as_json, as_table, facts

WIDE = 200
"""Columns where the output is no terminal: more than the table takes, so that nothing is cut or wrapped."""


def run(cfg: DictConfig) -> None:
    """Build the model that `ldmlab train` would, without memory for what is to be trained, and print its parts."""
    model = replace(_described(cfg), experiment=_experiment())
    if cfg.json:
        print(json.dumps(as_json(model, cfg.depth), indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(as_table(model, cfg.depth))
    for line in facts(model):
        console.print(line, highlight=False)


def _described(cfg: DictConfig) -> ModelDescription:
    dtype, size = getattr(torch, cfg.dtype), cfg.data.image_size
    if cfg.model.name == "autoencoder":
        autoencoder, discriminator = outline_autoencoder(cfg)
        return describe_autoencoder(autoencoder, size, dtype, discriminator)
    autoencoder = frozen_autoencoder(cfg)
    coding = describe_autoencoder(autoencoder, size, dtype)  # which refuses a size that the factor does not divide
    return describe_latent_diffusion(coding, *outline_denoiser(cfg, autoencoder, coding.latent_shape[1]), dtype)


def _experiment() -> str | None:
    """The experiment that was chosen, by the user or for them."""
    chosen = HydraConfig.get().runtime.choices.get("experiment")
    return None if chosen in (None, "null") else chosen
