"""Whether a model can be trained on pictures of the sizes that its data have."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ldmlab.training.base import Training
from ldmlab.training.flops import training_flops
from ldmlab.training.latent_diffusion import LatentDiffusionTraining


def require_sizes(training: Training, sizes: Sequence[tuple[int, int]]) -> None:
    """Refuse sizes that a model does not take, by a pass without data for each.

    Args:
        training: of the model.
        sizes: (height, width) in pixels.

    Raises:
        ValueError: it cannot take one of them.
    """
    for size in sizes:
        try:
            _take(training, *size)
        except (ValueError, RuntimeError) as error:
            why = str(error).partition("\n")[0]
            raise ValueError(f"data.buckets: the model takes no pictures of {[*size]}: {why}") from error


def _take(training: Training, height: int, width: int) -> None:
    whole = training.model if isinstance(training, LatentDiffusionTraining) else training
    factor = int(whole.autoencoder.factor)  # type: ignore[union-attr, arg-type]  # every training has one
    if height % factor or width % factor:
        raise ValueError(f"the autoencoder's factor {factor} does not divide both sides")
    training_flops(training, {"images": torch.empty(1, 3, height, width, device="meta")})
