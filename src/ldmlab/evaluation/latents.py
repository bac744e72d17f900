"""Held-out latents and their conditions, for figures of a denoiser that need no pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from ldmlab.conditioners.image import complete_each
from ldmlab.drawing.conditions import Subject, conditions
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.measurement import Measurement
from ldmlab.guidance.none import NoGuidance
from ldmlab.metrics.base import Announced
from ldmlab.metrics.feed import Feed, Reading
from ldmlab.metrics.measured import Measured, measured
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.progress import passes
from ldmlab.samplers.noise import PictureNoise


@torch.no_grad()
def measure_latents(model: LatentDiffusion, measurement: Measurement) -> Measured:
    """Measure how a denoiser explains held-out latents, which are the autoencoder's means.

    Args:
        model: on the device of the precision.
        measurement: on held-out samples, each of which has noise of its own; all metrics read `denoiser`, `latents`,
            `cond` or `noise`, and nothing else.

    Returns:
        The figures of the metrics, and "n".
    """
    heldout, metrics, shares = measurement.samples, measurement.metrics, measurement.shares
    for metric in metrics.values():
        metric.begin(Announced(heldout.n, heldout.seed))
    feeds = {name: Feed(_called(name), [metric.update]) for name, metric in metrics.items()}
    parts, seeds, total = heldout.parts(), heldout.seeds(), passes_left(model, measurement)

    def read(part: range) -> dict[str, Reading]:
        known = cache(partial(_known, model, heldout, seeds, part))
        return {name: shares.read(feed, part, lambda: _given(known(), seeds, part)) for name, feed in feeds.items()}

    backbone = model.denoiser.backbone
    with passes(backbone, "bounding", total), measurement.precision.running(backbone):
        for readings in shares.each(parts, read):
            for name, feed in feeds.items():
                feed.add(readings[name])
    return measured(metrics) | Measured({"n": float(heldout.n)})


def passes_left(model: LatentDiffusion, measurement: Measurement) -> int:
    """How many passes of the denoiser this rank still has to make for `measure_latents`."""
    parts, metrics = measurement.samples.parts(), measurement.metrics
    left = {name: len(measurement.shares.left(_called(name), parts)) for name in metrics}
    return sum(metric.passes(model.denoiser) * left[name] for name, metric in metrics.items())


def _called(metric: str) -> str:
    """The name of a metric's feed."""
    return f"latents-{metric}"


def _known(model: LatentDiffusion, heldout: HeldOut, seeds: Sequence[int], part: range) -> dict[str, Any]:
    """The latents of the samples of these numbers, their conditions, and the model."""
    batch = heldout.batch(part)
    shown = Subject(complete_each(model.conditioner, batch, seeds[part.start : part.stop]))
    return {
        "denoiser": model.denoiser,
        "latents": model.autoencoder.moments(batch["images"].to(model.device))[0],
        "cond": conditions(model, NoGuidance(), shown, range(len(part))).cond,
    }


def _given(known: Mapping[str, Any], seeds: Sequence[int], part: range) -> dict[str, Any]:
    """With noise that begins anew for each metric."""
    latents: Tensor = known["latents"]
    noise = PictureNoise(seeds[part.start : part.stop], latents.shape[1:], latents.device)
    return {**known, "noise": noise.draw}
