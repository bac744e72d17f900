"""Held-out pictures through an autoencoder and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.autoencoders.vq import AutoencoderVQ
from ldmlab.evaluation.held_out import columns
from ldmlab.evaluation.measurement import Measurement
from ldmlab.metrics.base import Announced, begin_all
from ldmlab.metrics.feed import Feed, Reading
from ldmlab.metrics.measured import Measured, measured
from ldmlab.models.latent_diffusion import to_uint8
from ldmlab.precision import Precision
from ldmlab.progress import track


def measure_reconstructions(autoencoder: Autoencoder, measurement: Measurement) -> Measured:
    """Measure what an autoencoder makes of the mean of each picture's latents.

    Args:
        autoencoder: on the device of the precision.
        measurement: on held-out samples.

    Returns:
        The figures of the metrics, and "n".

    Raises:
        ValueError: a metric reads what there is not.
    """
    heldout, metrics, shares = measurement.samples, measurement.metrics, measurement.shares
    extractor, precision = measurement.extractor, measurement.precision
    real = Feed("real", [metric.update_reference for metric in metrics.values()], extractor)
    made = Feed("reconstructed", [metric.update for metric in metrics.values()], extractor)
    begin_all(metrics.values(), Announced(heldout.n, heldout.seed), extractor)

    def read(part: range) -> tuple[Reading, Reading]:
        batch = heldout.batch(part)
        truth, beside = to_uint8(batch["images"]), columns(batch)
        made.require({"truth", *given_of(autoencoder), *beside})
        real.require({"images", *beside})
        of_truth = shares.read(real, part, lambda: {"images": truth, **beside})
        return of_truth, shares.read(
            made, part, lambda: {**beside, "truth": truth, **_reconstructed(autoencoder, batch["images"], precision)}
        )

    for of_truth, of_made in shares.each(track(heldout.parts(), "reconstructing"), read):
        real.add(of_truth)
        made.add(of_made)
    real.close()
    made.close()
    return measured(metrics) | Measured({"n": float(heldout.n)})


def given_of(autoencoder: Autoencoder) -> set[str]:
    """What there is of reconstructions."""
    return {"images", "code_counts"} if isinstance(autoencoder, AutoencoderVQ) else {"images"}


@torch.no_grad()
def _reconstructed(autoencoder: Autoencoder, images: Tensor, precision: Precision) -> dict[str, Any]:
    """The pictures, and of a codebook how often they took each code."""
    with precision.running(autoencoder):
        raw = autoencoder.posterior(images.to(precision.device)).mean
        made: dict[str, Any] = {"images": to_uint8(autoencoder.reconstruct(raw)).cpu()}
    if isinstance(autoencoder, AutoencoderVQ):
        taken = autoencoder.codebook.nearest(raw).flatten(1).cpu()
        none = torch.zeros(len(taken), len(autoencoder.codebook.codes), dtype=torch.long)
        made["code_counts"] = none.scatter_add_(1, taken, torch.ones_like(taken))
    return made
