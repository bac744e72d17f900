"""Pictures drawn from requests, measured beside those that they are compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ldmlab.drawing.conditions import read_of
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.evaluation.measurement import Measurement
from ldmlab.evaluation.reference import read_reference
from ldmlab.evaluation.requests import Requests
from ldmlab.evaluation.shares import Shares
from ldmlab.metrics.base import Announced, begin_all
from ldmlab.metrics.feed import Feed, Reading
from ldmlab.metrics.measured import Measured, measured
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.progress import progress


def measure_samples(model: LatentDiffusion, measurement: Measurement) -> Measured:
    """Measure n samples of a model.

    Args:
        model: draws from captions, classes, whatever its conditioner reads, or from nothing.
        measurement: of n pictures that are asked for, beside others where a metric compares.

    Returns:
        The figures of the metrics, "n_fake", and "n_real" of the pictures to compare with.

    Raises:
        ValueError: a metric or the conditioner reads what there is not.
    """
    metrics, extractor, requests = measurement.metrics, measurement.extractor, measurement.asked
    generated = Feed("generated", [metric.update for metric in metrics.values()], extractor)
    generated.require({"images", *requests.names})
    reference, drawing = measurement.compared, measurement.drawn
    if reference is not None:
        read_reference(reference, metrics.values(), extractor, measurement.shares, measurement.cache)
    known = requests.known(generated.reads | model.conditioner.reads | drawing.guidance.reads | {"captions"})
    taken = [picture // measurement.pictures_per_caption for picture in range(requests.n)]
    chosen = {key: [values[number] for number in taken] for key, values in known.items()}
    begin_all(metrics.values(), Announced(requests.n, requests.seed, chosen.get("captions")), extractor)
    _draw(model, drawing, requests, generated, chosen, measurement.shares)
    counts = {"n_real": float(reference.n)} if reference is not None and reference.n else {}
    return measured(metrics) | Measured({**counts, "n_fake": float(generated.count)})


def _draw(
    model: LatentDiffusion,
    drawing: Drawing,
    requests: Requests,
    generated: Feed,
    chosen: Mapping[str, list[Any]],
    shares: Shares,
) -> None:
    """Draw from what was chosen for each picture, and hand the pictures on."""
    condition = read_of(model, drawing.guidance, chosen)
    left = shares.left(generated.name, requests.parts())
    batches = sum(math.ceil(len(part) / drawing.rows(model)) for part in left)
    with progress("sampling", batches * drawing.sampler.steps) as advance:

        def drawn(part: range) -> dict[str, Any]:
            own = slice(part.start, part.stop)
            batch = {key: values[own] for key, values in condition.items()}
            images = sample(model, drawing.of(drawing.seeds[own]), batch, lambda *_: advance(1))
            return {"images": images, **{key: values[own] for key, values in chosen.items()}}

        def read(part: range) -> Reading:
            return shares.read(generated, part, lambda: drawn(part))

        for reading in shares.each(requests.parts(), read):
            generated.add(reading)
    generated.close()
