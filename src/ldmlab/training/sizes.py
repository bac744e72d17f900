"""Pictures of several sizes: which of them a model can be trained on."""

from __future__ import annotations

from functools import partial

import torch

from ldmlab.counting.passes import Pass
from ldmlab.data.order.bucket_sizes import Size
from ldmlab.data.training_data import TrainingData
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.training.base import Training
from ldmlab.training.flops import training_flops
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.types import Conditioning

HALVINGS = 8
"""Of grids, at most."""


def fit_sizes(training: Training, data: TrainingData) -> None:
    """Let data that choose the sizes of their pictures choose what a model takes, and refuse sizes that it does not.

    Args:
        training: of the model.
        data: to be trained on; its samples are not read.

    Raises:
        ValueError: the model does not take one of the sizes, or no other than its own.
    """
    tried: tuple[Size, ...] | None = None
    refusal: str | None = None
    for halvings in range(HALVINGS):
        data.multiple = _factor(training) << halvings
        if data.sizes == tried:
            continue
        tried = data.sizes or ()
        found = next((f"{[*size]}: {why}" for size in tried if (why := _objection(training, *size))), None)
        if found is None and (refusal is None or len(tried) > 1):
            return
        refusal = refusal or found
    if refusal is not None:
        raise ValueError(f"data.buckets: the model takes no pictures of {refusal}")


def _objection(training: Training, height: int, width: int) -> str | None:
    """Why pictures of a size cannot be trained on, by a pass without data; None where they can."""
    factor = _factor(training)
    if height % factor or width % factor:
        return f"the autoencoder's factor {factor} does not divide both sides"
    try:
        if isinstance(training, LatentDiffusionTraining):
            _denoise(training.outline or training.model, height // factor, width // factor)
        else:
            training_flops(training, {"images": torch.empty(1, 3, height, width, device="meta")})
    except (ValueError, RuntimeError) as error:
        return str(error).partition("\n")[0]
    return None


def _denoise(model: LatentDiffusion, rows: int, columns: int) -> None:
    """The backbone's pass over a grid, with any condition of the shapes that the conditioner's have."""
    conditioner, empty = model.conditioner, partial(torch.empty, device="meta")
    cond = Conditioning(
        context=None if conditioner.context_width is None else empty(1, 4, conditioner.context_width),
        vector=None if conditioner.vector_width is None else empty(1, conditioner.vector_width),
        concat=empty(1, conditioner.concat_channels, rows, columns) if conditioner.concat_channels else None,
    )
    latents = empty(1, model.latent_shape[0], rows, columns)
    Pass(model.denoiser.backbone, (latents, torch.zeros(1, dtype=torch.long), cond), "forward").flops()


def _factor(training: Training) -> int:
    """Pixels a latent, of the autoencoder that every training has."""
    whole = training.model if isinstance(training, LatentDiffusionTraining) else training
    return int(whole.autoencoder.factor)  # type: ignore[union-attr, arg-type]
