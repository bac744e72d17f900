"""Held-out latents and their conditions, for figures of a denoiser that need no pictures."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import torch

from ldmlab.conditioners.image import complete_each
from ldmlab.drawing.computing import Compile, ready_to_measure
from ldmlab.drawing.conditions import Subject, conditions
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.guidance.none import NoGuidance
from ldmlab.metrics.base import Announced, Metric, parameters
from ldmlab.metrics.feed import figures
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision
from ldmlab.progress import passes
from ldmlab.samplers.noise import PictureNoise

OF_LATENTS = frozenset({"denoiser", "latents", "cond", "noise"})
"""What metrics that need no pictures read."""


@torch.no_grad()
def measure_latents(
    model: LatentDiffusion,
    heldout: HeldOut,
    precision: Precision,
    metrics: Mapping[str, Metric],
    compile: Compile = "auto",
) -> dict[str, float]:
    """Measure how a denoiser explains held-out latents, which are the autoencoder's means.

    Args:
        model: on the device of `precision`.
        heldout: the samples; each has noise of its own.
        precision: what the denoiser computes in.
        metrics: by name; all read `denoiser`, `latents`, `cond` or `noise`, and nothing else.
        compile: whether the denoiser's network is compiled.

    Returns:
        The figures of the metrics, and "n".
    """
    for metric in metrics.values():
        metric.begin(Announced(heldout.n, heldout.seed))
    batches, seeds = heldout.batches(), iter(heldout.seeds())
    total = len(batches) * sum(metric.passes(model.denoiser) for metric in metrics.values())
    ready_to_measure(model, precision, compile, total)
    backbone = model.denoiser.backbone
    with passes(backbone, "bounding", total), precision.running(backbone):
        for batch in batches:
            images = batch["images"].to(model.device)
            own = list(islice(seeds, len(images)))
            latents = model.autoencoder.moments(images)[0]
            shown = Subject(complete_each(model.conditioner, batch, own))
            cond = conditions(model, NoGuidance(), shown, range(len(own))).cond
            for metric in metrics.values():
                noise = PictureNoise(own, latents.shape[1:], latents.device)
                given = {"denoiser": model.denoiser, "latents": latents, "cond": cond, "noise": noise.draw}
                metric.update(**{name: given[name] for name in OF_LATENTS & {*parameters(metric.update)}})
    return {**figures(metrics), "n": float(heldout.n)}
