"""What a model's frozen parts give for a run's data, computed once before it is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmlab.conditioners.frozen_text import FrozenText
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.latents.caching import Caching
from ldmlab.data.latents.latent_cache import LatentEncoder
from ldmlab.data.latents.options import LatentOptions
from ldmlab.data.latents.text_cache import TextEncoder
from ldmlab.data.training_data import TrainingData
from ldmlab.models.fingerprint import state_sha256
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.progress import track
from ldmlab.ranks import Ranks


def require_what_can_be_kept(data: TrainingData, model: LatentDiffusion, options: LatentOptions) -> None:
    """Refuse a cache that would not stand for what is trained on.

    Raises:
        ValueError: text features of a conditioner that is trained, or crops that are not those of the data.
    """
    if isinstance(data, ShardDataModule):
        data.keep_crops(options.crops)
    elif options != LatentOptions():
        raise ValueError("latents: a stream is not cached, so nothing would read its keys; leave them as they are")
    if options.text and model.conditioner.frozen is None:
        name = type(model.conditioner).__name__
        raise ValueError(f"latents.text=true: {name} is no frozen text encoder, to be kept; leave it at false")


def cache_latents(
    data: ShardDataModule,
    model: LatentDiffusion,
    options: LatentOptions,
    folder: Path,
    device: torch.device,
    ranks: Ranks,
) -> None:
    """Let the data give latents, and what a frozen text encoder says of captions, in the place of pictures.

    A conditioner that reads pictures gets them beside their latents.

    Args:
        data: on the disk.
        model: its frozen parts encode on the device, and are on the CPU afterwards.
        options: the user's.
        folder: of the run; caches lie in it where the data's own may only be read.
        device: where.
        ranks: the processes of the run, which share the work.
    """
    text = model.conditioner.frozen if options.text else None
    model.autoencoder.to(device)
    if text is not None:
        text.to(device)
    caching = Caching(
        encoder=_latent_encoder(model, device),
        text=None if text is None else _text_encoder(text),
        options=options,
        spare=folder,
        track=track if ranks.is_first else _untold,
        keep_images=model.conditioner.concat_channels > 0,
        ranks=ranks,
    )
    data.use_latents(caching)
    model.autoencoder.to("cpu")
    if text is not None:
        text.keep_null()
        text.to("cpu")


def _latent_encoder(model: LatentDiffusion, device: torch.device) -> LatentEncoder:
    autoencoder = model.autoencoder

    def moments(images: Tensor) -> tuple[Tensor, Tensor]:
        return autoencoder.moments(images.to(device))

    return LatentEncoder(moments, autoencoder.latent_channels, autoencoder.factor, state_sha256(autoencoder))


def _text_encoder(text: FrozenText) -> TextEncoder:
    settings = json.dumps([state_sha256(text), {**text.settings}, {**text.shapes}], sort_keys=True)
    return TextEncoder(text.features, text.shapes, hashlib.sha256(settings.encode()).hexdigest())


def _untold(items: Iterable[Any], what: str) -> Iterable[Any]:
    return items
