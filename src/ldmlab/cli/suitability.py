"""What a training run takes over from another one, held against its own data."""

from __future__ import annotations

import logging
from itertools import islice

import torch
from omegaconf import DictConfig

from ldmlab.conditioners.text import TextTransformer
from ldmlab.conditioners.tokenizer import fit_tokenizer, token_counts
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.shipped import SHIPPED_MODEL
from ldmlab.training.suitability import suitability

log = logging.getLogger(__name__)

CAPTIONS = 2000
MOST_PIECES = 1.5
"""How many times as many tokens as a tokenizer of their own needs for captions are too many."""


def require_suitable(cfg: DictConfig, model: LatentDiffusion, data: ShardDataModule, device: torch.device) -> None:
    """Measure the autoencoder on the run's own pictures, and the tokenizer on its captions; say how they do.

    Raises:
        ValueError: the autoencoder falls short of `min_psnr`.
    """
    found = suitability(model.autoencoder.to(device), data.train_set)
    model.autoencoder.to("cpu")
    name = cfg.autoencoder_ckpt or SHIPPED_MODEL
    told = f"{found.psnr:.1f} dB PSNR on {found.pictures} of the training pictures at {data.image_size} px"
    log.info("autoencoder of %s: %s, latents of standard deviation %.2f", name, told, found.latent_std)
    if cfg.min_psnr > 0 and not found.psnr >= cfg.min_psnr:
        raise ValueError(
            f"min_psnr={cfg.min_psnr:g}: the autoencoder of {name} reaches {told}; train one on them (ldmlab train "
            f"model=autoencoder data.path={data.path} data.image_size={data.image_size}) and give it as "
            "autoencoder_ckpt=PATH, or allow any by min_psnr=0"
        )
    for key in ("conditioner_ckpt", "init_ckpt"):
        if cfg[key] is not None:
            _tell_of_foreign_words(f"{key}={cfg[key]}", model, data)
            return


def _tell_of_foreign_words(origin: str, model: LatentDiffusion, data: ShardDataModule) -> None:
    """Warn where the tokenizer that came with the prompt model was made for captions of another kind."""
    conditioner = getattr(model.conditioner, "text", model.conditioner)
    if not isinstance(conditioner, TextTransformer) or conditioner.tokenizer is None:
        return
    captions = list(islice(data.train_set.index.captions, CAPTIONS))
    own = fit_tokenizer(captions, conditioner.vocabulary)
    theirs, ours = (
        sum(token_counts(tokenizer, captions)) / len(captions) for tokenizer in (conditioner.tokenizer, own)
    )
    if theirs > MOST_PIECES * ours:
        log.warning(
            "%s: its tokenizer makes %.0f tokens of a caption here, one of their own %.0f; %s=null fits one to them",
            origin,
            theirs,
            ours,
            origin.partition("=")[0],
        )
