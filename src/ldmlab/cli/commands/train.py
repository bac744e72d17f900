"""`ldmlab train`: train an autoencoder or a latent diffusion model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from ldmlab.cli.command import Command
from ldmlab.configs.checks import NO_SHARDS, Rule, setting
from ldmlab.configs.keys import Compile, Count, Keys, PathText, Precision, Seed
from ldmlab.configs.login import require_login

if TYPE_CHECKING:
    from omegaconf import DictConfig


class TrainerKeys(BaseModel):
    """What Lightning's Trainer would take, and a run not. The rest of its keys are its own."""

    max_steps: Annotated[int, Field(ge=-1, strict=True)] | None


class TrainKeys(Keys):
    """`ldmlab train`. Those with a default come with model=latent_diffusion."""

    seed: Seed
    trainer: TrainerKeys
    precision: Precision
    compile: Compile
    ckpt_path: PathText | None
    init_ckpt: PathText | None
    allow_other_data: bool
    output_dir: PathText
    checkpoint_every: Count
    grid_every: Count
    export_half: bool
    figure: Annotated[str, Field(min_length=1)] | None
    figure_mode: Literal["min", "max"]
    cache_latents: bool = True
    autoencoder_ckpt: PathText | None = None
    min_psnr: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    conditioner_ckpt: PathText | None = None
    adapter_ckpt: PathText | None = None
    export_autoencoder: bool = True
    grid_prompts: Annotated[list[str], Field(min_length=1)] | None = None
    grid_attention: bool = False


def run(cfg: DictConfig) -> float | None:
    """Train, and export the averaged weights; return the last value of the run's `figure`."""
    from ldmlab.configs.training import train_from

    return train_from(cfg)


def _trains(autoencoder: str) -> Callable[[DictConfig], bool]:
    return lambda config: str((config.get("autoencoder") or {}).get("_target_")).endswith(f".{autoencoder}")


def _brings_its_own(config: DictConfig) -> bool:
    return config.model.name == "latent_diffusion" and config.autoencoder_ckpt is not None


def _adapts(config: DictConfig) -> bool:
    return bool(config.get("adapter"))


OF_THE_BASE = ("backbone", "conditioner", "schedule", "parameterization", "objective", "autoencoder",
               "autoencoder_ckpt", "conditioner_ckpt", "export_autoencoder")  # fmt: skip
RULES = (
    Rule(OF_THE_BASE, _adapts, "an adapter is trained, and the model that init_ckpt= names brings its own"),
    Rule(("adapter_ckpt",), lambda config: not _adapts(config), "no adapter is trained; choose adapter=lora as well"),
    Rule(("autoencoder",), _brings_its_own, "autoencoder_ckpt= brings its own"),
    Rule(
        ("training.discriminator_weight", "training.discriminator_start"),
        setting("discriminator", {}),
        "there is none; choose discriminator=patch as well",
    ),
    Rule(("training.codebook_weight",), _trains("AutoencoderKL"), "this autoencoder has no codebook"),
    Rule(
        ("training.kl_weight", "training.kl_start", "training.kl_warmup_steps"),
        _trains("AutoencoderVQ"),
        "this autoencoder has a codebook in place of that term",
    ),
)
OPTIONAL = ("callbacks", "logger")
COMMAND = Command(
    summary="train an autoencoder or a latent diffusion model",
    synopsis="ldmlab train [experiment=STUDY/VARIANT] [model=NAME] [KEY=VALUE ...]",
    description=(
        "Trains on shards that `ldmlab data` wrote, on the GPU where there is one. An experiment is a yaml that "
        "sets many keys at once; whatever else is on the command line overrides it.",
        "The run's folder holds the config it ran with (.hydra/), checkpoints, metrics and sample grids. "
        "ckpt_path=last with the same output_dir continues a run exactly, and ckpt_path=auto begins where there is "
        "none yet. Ctrl-C and SIGTERM finish the step, save and end.",
        "init_ckpt=MODEL begins from whatever fits of the weights of another model.",
    ),
    examples=(
        ("ldmlab train experiment=shapes/dit", "the recorded study, again"),
        ("ldmlab train backbone=unet backbone.dropout=0.1 seed=1", "another backbone, a key of it, a seed"),
        ("ldmlab train output_dir=runs/mine ckpt_path=last", "continue"),
        ("ldmlab train -m seed=0,1,2", "three runs, one after the other"),
        ("ldmlab train experiment=shapes/dit --cfg job", "print the composed config and stop"),
    ),
    keys=TrainKeys,
    rules=RULES,
    optional=OPTIONAL,
    reads={
        "data.path": NO_SHARDS,
        "data.heldout_path": "no such folder; give one of tars, or null for path/heldout",
    },
    check=require_login,
    resumes=True,
    run=run,
)
