"""What a manifest says of the model that was measured."""

from __future__ import annotations

from typing import Any

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.metrics.manifest import device_name
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded
from ldmlab.precision import Precision


def model_fields(loaded: Loaded[LatentDiffusion] | Loaded[Autoencoder], precision: Precision) -> dict[str, Any]:
    """The fields of a `Manifest` that say which weights computed, where, and in what.

    Args:
        loaded: the model, from a file.
        precision: what it computed in.
    """
    return {
        "device": device_name(precision.device),
        "checkpoint": str(loaded.path),
        "checkpoint_sha256": loaded.checkpoint.sha256,
        "autoencoder_sha256": loaded.autoencoder_sha256,
        "adapter": loaded.adapter_record,
        "parameters": _parameters(loaded.model),
        "ema": loaded.checkpoint.ema,
        "precision": precision.name,
    }


def _parameters(model: LatentDiffusion | Autoencoder) -> int:
    """How many weights a model has; of one that draws without its autoencoder's, as papers count them."""
    parts = [model] if isinstance(model, Autoencoder) else [model.denoiser, model.conditioner]
    return sum(each.numel() for part in parts for each in part.parameters())
