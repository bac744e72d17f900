"""The config of `ldmlab train`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from ldmlab.configs.checks import NO_SHARDS, Checks, Rule, setting
from ldmlab.configs.filters import require_filter
from ldmlab.configs.keys import Compile, Count, Keys, PathText, Precision, Seed
from ldmlab.configs.login import require_login

if TYPE_CHECKING:
    from omegaconf import DictConfig


class TrainerKeys(BaseModel):
    """What Lightning's Trainer would take, and a run not. The rest of its keys are its own."""

    max_steps: Annotated[int, Field(ge=-1, strict=True)] | None
    gradient_clip_val: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None


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
    checkpoint_async: bool
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


def _trains(autoencoder: str) -> Callable[[DictConfig], bool]:
    return lambda config: str((config.get("autoencoder") or {}).get("_target_")).endswith(f".{autoencoder}")


def _brings_its_own(config: DictConfig) -> bool:
    return config.model.name == "latent_diffusion" and config.autoencoder_ckpt is not None


def _streams(config: DictConfig) -> bool:
    return str(config.data.get("_target_")).endswith(".StreamDataModule")


def _adapts(config: DictConfig) -> bool:
    return bool(config.get("adapter"))


OF_THE_BASE = ("backbone", "conditioner", "schedule", "parameterization", "objective", "autoencoder",
               "autoencoder_ckpt", "conditioner_ckpt", "export_autoencoder")  # fmt: skip
RULES = (
    Rule(("cache_latents", "latents"), _streams, "a stream is encoded as it comes, so no latents are kept of it"),
    Rule(("latents",), setting("cache_latents", False), "cache_latents=false, so that there are none"),
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


def _look_further(config: DictConfig) -> None:
    require_login(config)
    require_filter(config)


OPTIONAL = ("callbacks", "logger")
CHECKS = Checks(
    keys=TrainKeys,
    rules=RULES,
    optional=OPTIONAL,
    reads={
        "data.path": NO_SHARDS,
        "data.heldout_path": "no such folder; give one of tars, or null for path/heldout",
    },
    check=_look_further,
)
