"""Whether an autoencoder and a tokenizer that were made elsewhere serve the data that a run is to be trained on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import islice
from math import inf, log10

import torch
from torch import Tensor

from ldmlab.adapters.base import adapter_parameters
from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.text import TextTransformer
from ldmlab.conditioners.tokenizer import fit_tokenizer, token_counts
from ldmlab.data.samples import Samples
from ldmlab.data.training_data import TrainingData
from ldmlab.models.latent_diffusion import LatentDiffusion

log = logging.getLogger(__name__)

PICTURES = 64
AT_ONCE = 8
CAPTIONS = 2000
MOST_PIECES = 1.5
"""How many times as many tokens as a tokenizer of their own needs for captions are too many."""


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
def suitability(autoencoder: Autoencoder, dataset: Samples, pictures: int = PICTURES) -> Suitability:
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


def require_suitable(
    model: LatentDiffusion, data: TrainingData, device: torch.device, autoencoder: str, least: float
) -> None:
    """Measure a model's autoencoder on a run's own pictures, and say how it does.

    Args:
        model: to be trained.
        data: to train on.
        device: where.
        autoencoder: the name of its checkpoint.
        least: PSNR in dB that it has to reach; 0 allows any.

    Raises:
        ValueError: it falls short of it.
    """
    found = suitability(model.autoencoder.to(device), data.train_set)
    model.autoencoder.to("cpu")
    quality = f"{found.psnr:.1f} dB PSNR on {found.pictures} of the training pictures at {data.image_size} px"
    log.info("autoencoder of %s: %s, latents of standard deviation %.2f", autoencoder, quality, found.latent_std)
    if least > 0 and not found.psnr >= least:
        train_one = (
            f"train one on them (ldmlab train model=autoencoder {data.overrides}) and give it as autoencoder_ckpt=PATH"
        )
        mend = "adapt a model of such pictures" if adapter_parameters(model) else train_one
        raise ValueError(
            f"min_psnr={least:g}: the autoencoder of {autoencoder} reaches {quality}; {mend}, or allow any by "
            "min_psnr=0"
        )


def tell_of_foreign_words(origin: str, model: LatentDiffusion, data: TrainingData) -> None:
    """Warn where the tokenizer that came with the prompt model was made for captions of another kind.

    Args:
        origin: where the prompt model came from, as KEY=VALUE.
        model: to be trained.
        data: to train on.
    """
    conditioner = getattr(model.conditioner, "text", model.conditioner)
    if not isinstance(conditioner, TextTransformer) or conditioner.tokenizer is None:
        return
    captions = list(islice(data.captions, CAPTIONS))
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
