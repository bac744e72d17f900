"""Measures a model: in what it is for, by metrics of the user's choice."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.image import ImageConditioner
from ldmlab.drawing.computing import Compile, ready_to_draw, ready_to_measure
from ldmlab.evaluation.latents import measure_latents, passes_left
from ldmlab.evaluation.measurement import Measurement
from ldmlab.evaluation.reconstructions import measure_reconstructions
from ldmlab.evaluation.restorations import measure_restorations
from ldmlab.evaluation.samples import measure_samples
from ldmlab.metrics.measured import Measured
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision

Model = LatentDiffusion | Autoencoder
Task = Literal["samples", "reconstructions", "restorations"]
"""What a model is for: pictures of captions, of classes or of nothing; an autoencoder's way there and back; pictures
drawn again from what a conditioner leaves of them."""


def task_of(model: Model) -> Task:
    """What a model is for."""
    if isinstance(model, Autoencoder):
        return "reconstructions"
    return "restorations" if isinstance(model.conditioner, ImageConditioner) else "samples"


def evaluate(model: Model, measurement: Measurement, compile: Compile = "auto") -> Measured:
    """Measure a model, whose networks are made to compute in the measurement's precision for good.

    Args:
        model: on the device of the precision.
        measurement: by what, on what, and beside what.
        compile: whether networks are compiled.

    Returns:
        The figures by name, and how many samples they are of.

    Raises:
        ValueError: there is no metric, or one that reads what there is not.
    """
    require_metrics(model, measurement)
    found = Measured({})
    for part in (measurement.of_pictures, measurement.of_latents):
        if part.metrics:
            found |= measure(model, _ready(model, part, compile))
    return found


def measure(model: Model, measurement: Measurement) -> Measured:
    """Measure a model as it is.

    Args:
        model: on the device of the precision, in evaluation mode.
        measurement: see `evaluate`.

    Raises:
        ValueError: a metric reads what there is not.
    """
    of_latents, of_pictures = measurement.of_latents, measurement.of_pictures
    found = Measured({})
    with Precision("fp32", measurement.precision.device).arithmetic():
        if isinstance(model, Autoencoder):
            return measure_reconstructions(model, of_pictures)
        if of_pictures.metrics:
            restores = isinstance(model.conditioner, ImageConditioner)
            found |= (measure_restorations if restores else measure_samples)(model, of_pictures)
        if of_latents.metrics:
            found |= measure_latents(model, of_latents)
    return found


def require_metrics(model: Model, measurement: Measurement) -> None:
    """Refuse a measurement without metrics, or with ones that models of this kind have no figures for.

    Raises:
        ValueError: naming the metric.
    """
    if not measurement.metrics:
        raise ValueError("metric: there is none, so nothing would be measured; choose some, such as metric=pictures")
    of_latents = measurement.of_latents.metrics
    if of_latents and isinstance(model, Autoencoder):
        raise ValueError(f"metric={min(of_latents)}: its figures are of a latent diffusion model; give ckpt= of one")
    per_caption = measurement.pictures_per_caption
    if per_caption != 1 and task_of(model) == "restorations":
        raise ValueError(
            f"pictures_per_caption={per_caption}: this model draws from pictures, one from each; leave it at 1"
        )


def _ready(model: Model, part: Measurement, compile: Compile) -> Measurement:
    """A measurement of pictures or of latents, when the model computes in its precision, compiled where that pays."""
    share = part.shares.ranks.share
    if isinstance(model, Autoencoder):
        ready_to_measure(model, part.precision, compile, len(share(part.samples.parts())))
    elif part.of_latents.metrics:
        ready_to_measure(model, part.precision, compile, passes_left(model, part))
    else:
        count = sum(map(len, share(part.asked.parts())))
        return replace(part, drawing=ready_to_draw(model, part.drawn, compile, count))
    return part
