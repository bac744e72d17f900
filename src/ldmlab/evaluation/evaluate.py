"""Measures a model on held-out samples: in what it is for, by metrics of the user's choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.image import ImageConditioner
from ldmlab.drawing.computing import Compile, ready_to_draw, ready_to_measure
from ldmlab.drawing.drawing import Drawing
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.latents import OF_LATENTS, measure_latents, passes_left
from ldmlab.evaluation.picture_set import PictureSet
from ldmlab.evaluation.reconstructions import measure_reconstructions
from ldmlab.evaluation.reference_cache import ReferenceCache
from ldmlab.evaluation.requests import Requests
from ldmlab.evaluation.restorations import measure_restorations
from ldmlab.evaluation.samples import measure_samples
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric, parameters
from ldmlab.metrics.measured import Measured
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision

Task = Literal["samples", "reconstructions", "restorations"]
"""What a model is for: pictures of captions, of classes or of nothing; an autoencoder's way there and back; pictures
drawn again from what a conditioner leaves of them."""


def task_of(model: LatentDiffusion | Autoencoder) -> Task:
    """What a model is for."""
    if isinstance(model, Autoencoder):
        return "reconstructions"
    return "restorations" if isinstance(model.conditioner, ImageConditioner) else "samples"


def reads_latents(metric: Metric) -> bool:
    """Whether a metric reads latents, so that its figures need no pictures."""
    return bool(OF_LATENTS & parameters(metric.update).keys())


def evaluate(
    model: LatentDiffusion | Autoencoder,
    heldout: HeldOut | None,
    metrics: Mapping[str, Metric],
    extractor: FeatureExtractor,
    drawing: Drawing | None = None,
    *,
    precision: Precision,
    compile: Compile = "auto",
    pictures_per_caption: int = 1,
    shares: Shares = SINGLE,
    requests: Requests | None = None,
    reference: PictureSet | None = None,
    cache: ReferenceCache | None = None,
) -> Measured:
    """Measure a model, whose networks are made to compute in `precision` for good.

    Args:
        model: on the device of `precision`.
        heldout: the samples that it is measured on; None where neither requests nor metrics are of any.
        metrics: by name; see `Metric` for what they may read.
        extractor: the network of metrics that have none of their own, on that device as theirs are.
        drawing: how pictures are drawn, of whatever seeds; none where none are.
        precision: what the model computes in; what measures computes in fp32.
        compile: whether networks are compiled.
        pictures_per_caption: above 1, fewer conditions are drawn, so often each.
        shares: among which ranks the work is shared; each of them calls this, and is given the same figures.
        requests: what a model is asked for, where it is not what was known of the held-out samples.
        reference: what samples are compared with, where it is not the held-out pictures.
        cache: see `read_reference`.

    Returns:
        The figures by name, and how many samples they are of.

    Raises:
        ValueError: there is no metric, or one that reads what there is not.
    """
    of_latents = {name: metric for name, metric in metrics.items() if reads_latents(metric)}
    of_pictures = {name: metric for name, metric in metrics.items() if name not in of_latents}
    if not metrics:
        raise ValueError("metric: there is none, so nothing would be measured; choose some, such as metric=pictures")
    if of_latents and isinstance(model, Autoencoder):
        raise ValueError(f"metric={min(of_latents)}: its figures are of a latent diffusion model; give ckpt= of one")
    found = Measured({})
    with Precision("fp32", precision.device).arithmetic():
        if isinstance(model, Autoencoder):
            samples = _there(heldout)
            ready_to_measure(model, precision, compile, len(shares.ranks.share(samples.parts())))
            found |= measure_reconstructions(model, samples, precision, of_pictures, extractor, shares)
        elif of_pictures:
            asked = requests or _there(heldout)
            found |= _drawn(
                model, heldout, asked, reference or heldout, drawing, of_pictures, extractor, compile,
                pictures_per_caption, shares, cache,
            )  # fmt: skip
        if isinstance(model, LatentDiffusion) and of_latents:
            samples = _there(heldout)
            ready_to_measure(model, precision, compile, passes_left(model, samples, of_latents, shares))
            found |= measure_latents(model, samples, precision, of_latents, shares)
    return found


def _there(heldout: HeldOut | None) -> HeldOut:
    if heldout is None:
        raise ValueError("heldout: there are no held-out samples, and what is measured is of some; give them")
    return heldout


def _drawn(
    model: LatentDiffusion,
    heldout: HeldOut | None,
    requests: Requests,
    reference: PictureSet | None,
    drawing: Drawing | None,
    metrics: Mapping[str, Metric],
    extractor: FeatureExtractor,
    compile: Compile,
    pictures_per_caption: int,
    shares: Shares,
    cache: ReferenceCache | None,
) -> Measured:
    if drawing is None:
        raise ValueError(f"metric={min(metrics)}: reads pictures; say how they are drawn")
    if pictures_per_caption != 1 and task_of(model) == "restorations":
        raise ValueError(
            f"pictures_per_caption={pictures_per_caption}: this model draws from pictures, one from each; leave it at 1"
        )
    own = shares.ranks.share(requests.parts())
    ready = ready_to_draw(model, drawing.of(requests.seeds()), compile, sum(map(len, own)))
    if isinstance(model.conditioner, ImageConditioner):
        return measure_restorations(model, model.conditioner, _there(heldout), ready, metrics, extractor, shares)
    return measure_samples(model, requests, reference, ready, metrics, extractor, pictures_per_caption, shares, cache)
