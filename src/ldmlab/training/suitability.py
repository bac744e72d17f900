"""Whether an autoencoder trained elsewhere serves the pictures that a run is to be trained on."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10

import torch
from torch import Tensor

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.data.shard_dataset import ShardDataset

PICTURES = 64
AT_ONCE = 8


@dataclass(frozen=True)
class Suitability:
    """How well an autoencoder knows some pictures.

    Attributes:
        pictures: how many.
        psnr: of their reconstructions in dB, from the mean of all squared errors; NaN where one is not finite.
        latent_std: of all their normalised latents; 1 on the pictures that the autoencoder was trained on.
    """

    pictures: int
    psnr: float
    latent_std: float


@torch.no_grad()
def suitability(autoencoder: Autoencoder, dataset: ShardDataset, pictures: int = PICTURES) -> Suitability:
    """Reconstruct pictures that are spread evenly over a dataset. Nothing is drawn at random, so it leaves no trace.

    Args:
        autoencoder: trained, on any device.
        dataset: of images in [-1, 1] whose sides the autoencoder's factor divides.
        pictures: how many; all, where there are fewer.
    """
    count = min(pictures, len(dataset))
    rows = [index * len(dataset) // count for index in range(count)]
    errors: list[Tensor] = []
    latents: list[Tensor] = []
    for start in range(0, count, AT_ONCE):
        images = torch.stack([dataset[row]["image"] for row in rows[start : start + AT_ONCE]])
        images = images.to(autoencoder.latent_mean.device)
        mean, _ = autoencoder.moments(images)
        errors.append((autoencoder.decode(mean).clamp(-1, 1) - images).square().mean((1, 2, 3)))
        latents.append(mean.flatten())
    return Suitability(count, _psnr(float(torch.cat(errors).mean())), float(torch.cat(latents).std()))


def _psnr(squared_error: float) -> float:
    """In dB, of images in [-1, 1]."""
    return inf if squared_error == 0 else 10 * log10(4 / squared_error)
