"""`ldmlab describe`: print a composed model: modules, parameters, MACs, FLOPs, tokens, memory."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command
from ldmlab.configs import catalogue
from ldmlab.configs.commands.describe import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ldmlab.counting.model_description import ModelDescription

WIDE = 200
"""Columns where the output is no terminal: more than the table takes, so that nothing is cut or wrapped."""


def run(cfg: DictConfig) -> None:
    """Build the model that `ldmlab train` would, without memory for what is to be trained, and print its parts."""
    from hydra.core.hydra_config import HydraConfig
    from rich.console import Console

    from ldmlab.counting.model_table import as_json, as_table, facts

    chosen = HydraConfig.get().runtime.choices.get("experiment")
    model = replace(_described(cfg), experiment=None if chosen in (None, "null") else chosen)
    if cfg.json:
        print(json.dumps(as_json(model, cfg.depth), indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(as_table(model, cfg.depth))
    for line in (*facts(model), *_published(model, str(HydraConfig.get().runtime.choices.get("backbone")))):
        console.print(line, highlight=False)


def _published(model: ModelDescription, backbone: str) -> list[str]:
    """Where to find a named backbone as it was published, if this is another setting."""
    name = f"published/{backbone}"
    if model.experiment is not None or name not in catalogue.options("experiment"):
        return []
    return [f"as published: ldmlab describe experiment={name}"]


def _described(cfg: DictConfig) -> ModelDescription:
    import torch

    from ldmlab.configs.outlines import frozen_autoencoder, outline_autoencoder, outline_denoiser
    from ldmlab.counting.model_description import describe_autoencoder, describe_latent_diffusion

    dtype, size = getattr(torch, cfg.dtype), cfg.data.image_size
    if cfg.model.name == "autoencoder":
        autoencoder, discriminator = outline_autoencoder(cfg)
        return describe_autoencoder(autoencoder, size, dtype, discriminator)
    autoencoder = frozen_autoencoder(cfg)
    coding = describe_autoencoder(autoencoder, size, dtype)  # which refuses a size that the factor does not divide
    return describe_latent_diffusion(coding, *outline_denoiser(cfg, autoencoder, coding.latent_shape[1]), dtype)


COMMAND = Command(
    **vars(CHECKS),
    summary="print a composed model: modules, parameters, MACs, FLOPs, tokens, memory",
    synopsis="ldmlab describe [model=NAME] [GROUP=OPTION ...] [KEY=VALUE ...]",
    description=(
        "Builds the model that the same overrides would train, without training it, and counts. FLOPs are twice "
        "the MACs; papers that say GFLOPs of a transformer often mean MACs. Activations are the memory that a "
        "training pass of one picture keeps for its backward pass, in dtype.",
        "experiment=published/NAME describes a network in the setting that it was published in: its latents, its "
        "conditions and its output. No checkpoint is needed then: "
        "autoencoder=NAME stands for one that is yet to be trained, and a checkpoint comes before it.",
    ),
    examples=(
        ("ldmlab describe experiment=published/dit_xl_2", "DiT-XL/2 as published: 675 million parameters, 118.6 GMACs"),
        ("ldmlab describe backbone=unet", "the UNet in place of the DiT"),
        (
            "ldmlab describe experiment=published/sd_1 depth=1 --json",
            "Stable Diffusion 1, its networks alone, for machines",
        ),
        ("ldmlab describe experiment=shapes/dit", "the model of a study"),
    ),
    switches=("json",),
    run=run,
)
