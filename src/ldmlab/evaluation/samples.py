"""Pictures drawn from the conditions of held-out samples, measured beside the held-out pictures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from ldmlab.drawing.conditions import read_of
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.evaluation.held_out import HeldOut, columns
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.metrics.base import Announced, Metric
from ldmlab.metrics.extractors import FeatureExtractor
from ldmlab.metrics.feed import Feed, Reading, figures
from ldmlab.models.latent_diffusion import LatentDiffusion, to_uint8
from ldmlab.progress import progress, track


def measure_samples(
    model: LatentDiffusion,
    heldout: HeldOut,
    drawing: Drawing,
    metrics: Mapping[str, Metric],
    extractor: FeatureExtractor,
    pictures_per_caption: int = 1,
    shares: Shares = SINGLE,
) -> dict[str, float]:
    """Measure n samples of a model beside n held-out pictures.

    Args:
        model: draws from captions, classes, whatever its conditioner reads, or from nothing.
        heldout: the samples, whose conditions are drawn.
        drawing: how, with n seeds.
        metrics: by name.
        extractor: the network whose features are compared.
        pictures_per_caption: above 1, the conditions of the first samples are drawn so often each.
        shares: which batches this rank reads and draws.

    Returns:
        The figures of the metrics, "n_real" and "n_fake".

    Raises:
        ValueError: a metric or the conditioner reads what the samples lack.
    """
    n = heldout.n
    real = Feed("real", [metric.update_reference for metric in metrics.values()], extractor)
    generated = Feed("generated", [metric.update for metric in metrics.values()], extractor)
    wanted = generated.reads | model.conditioner.reads | drawing.guidance.reads | {"captions"}
    names, known = _read(heldout, real, wanted, shares)
    generated.require({"images", *names})
    chosen = {key: [values[picture // pictures_per_caption] for picture in range(n)] for key, values in known.items()}
    announced = Announced(n, heldout.seed, chosen.get("captions"), extractor.suffix)
    for metric in metrics.values():
        metric.begin(announced)
    _draw(model, drawing, heldout, generated, chosen, shares)
    return {**figures(metrics), "n_real": float(n), "n_fake": float(generated.count)}


def _read(
    heldout: HeldOut, real: Feed, wanted: Collection[str], shares: Shares
) -> tuple[list[str], dict[str, list[Any]]]:
    """Hand the held-out pictures on; return the names of what is known of all of them, and what is wanted of it."""

    def read(part: range) -> tuple[list[str], dict[str, list[Any]], Reading]:
        batch = heldout.batch(part)
        beside = columns(batch)
        real.require({"images", *beside})
        reading = shares.read(real, part, lambda: {"images": to_uint8(batch["images"]), **beside})
        return list(beside), {key: values for key, values in beside.items() if key in wanted}, reading

    counts: Counter[str] = Counter()
    known: dict[str, list[Any]] = {}
    for names, beside, reading in shares.each(track(heldout.parts(), "reading"), read):
        real.add(reading)
        counts.update(names)
        for key, values in beside.items():
            known.setdefault(key, []).extend(values)
    real.close()
    everywhere = [name for name, count in counts.items() if count == len(heldout.parts())]
    return everywhere, {key: known[key] for key in everywhere if key in known}


def _draw(
    model: LatentDiffusion,
    drawing: Drawing,
    heldout: HeldOut,
    generated: Feed,
    chosen: Mapping[str, list[Any]],
    shares: Shares,
) -> None:
    """Draw from what was chosen for each picture, and hand the pictures on."""
    condition = read_of(model, drawing.guidance, chosen)
    left = shares.left(generated.name, heldout.parts())
    batches = sum(math.ceil(len(part) / drawing.rows(model)) for part in left)
    with progress("sampling", batches * drawing.sampler.steps) as advance:

        def drawn(part: range) -> dict[str, Any]:
            own = slice(part.start, part.stop)
            batch = {key: values[own] for key, values in condition.items()}
            images = sample(model, drawing.of(drawing.seeds[own]), batch, lambda *_: advance(1))
            return {"images": images, **{key: values[own] for key, values in chosen.items()}}

        def read(part: range) -> Reading:
            return shares.read(generated, part, lambda: drawn(part))

        for reading in shares.each(heldout.parts(), read):
            generated.add(reading)
    generated.close()
