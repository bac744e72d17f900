"""Pictures drawn from the conditions of held-out samples, measured beside the held-out pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ldmlab.drawing.conditions import read_of
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.evaluation.held_out import HeldOut, columns
from ldmlab.metrics.base import Announced, Metric
from ldmlab.metrics.extractors import FeatureExtractor
from ldmlab.metrics.feed import Feed, figures
from ldmlab.models.latent_diffusion import LatentDiffusion, to_uint8
from ldmlab.progress import progress, track


def measure_samples(
    model: LatentDiffusion,
    heldout: HeldOut,
    drawing: Drawing,
    metrics: Mapping[str, Metric],
    extractor: FeatureExtractor,
    pictures_per_caption: int = 1,
) -> dict[str, float]:
    """Measure n samples of a model beside n held-out pictures.

    Args:
        model: draws from captions, classes, whatever its conditioner reads, or from nothing.
        heldout: the samples, whose conditions are drawn.
        drawing: how, with n seeds.
        metrics: by name.
        extractor: the network whose features are compared.
        pictures_per_caption: above 1, the conditions of the first samples are drawn so often each.

    Returns:
        The figures of the metrics, "n_real" and "n_fake".

    Raises:
        ValueError: a metric or the conditioner reads what the samples lack.
    """
    n = heldout.n
    known = _read(heldout, Feed("real", [metric.update_reference for metric in metrics.values()], extractor))
    chosen = {key: [values[picture // pictures_per_caption] for picture in range(n)] for key, values in known.items()}
    announced = Announced(n, heldout.seed, chosen.get("captions"), extractor.suffix)
    generated = Feed("generated", [metric.update for metric in metrics.values()], extractor)
    generated.require({"images", *chosen})
    for metric in metrics.values():
        metric.begin(announced)
    for part, images in _draw(model, drawing, read_of(model, drawing.guidance, chosen), heldout.batch_size):
        generated.update(images=images, **{key: values[part] for key, values in chosen.items()})
    generated.close()
    return {**figures(metrics), "n_real": float(n), "n_fake": float(generated.count)}


def _read(heldout: HeldOut, real: Feed) -> dict[str, list[Any]]:
    """Hand the held-out pictures on; return what is known of all of them."""
    known: dict[str, list[Any]] = {}
    for batch in track(heldout.batches(), "reading"):
        beside = columns(batch)
        real.require({"images", *beside})
        real.update(images=to_uint8(batch["images"]), **beside)
        for key, values in beside.items():
            known.setdefault(key, []).extend(values)
    real.close()
    return {key: values for key, values in known.items() if len(values) == heldout.n}


def _draw(
    model: LatentDiffusion, drawing: Drawing, condition: Mapping[str, Any], batch_size: int
) -> Iterator[tuple[slice, Tensor]]:
    """The pictures, a batch at a time, and which they are."""
    n = len(drawing.seeds)
    parts = [slice(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    chunks = sum(math.ceil((part.stop - part.start) / drawing.rows(model)) for part in parts)
    with progress("sampling", chunks * drawing.sampler.steps) as advance:
        for part in parts:
            batch = {key: values[part] for key, values in condition.items()}
            yield part, sample(model, drawing.of(drawing.seeds[part]), batch, lambda *_: advance(1))
