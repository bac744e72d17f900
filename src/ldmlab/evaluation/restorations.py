"""Held-out pictures drawn again from what a model's conditioner leaves of them, beside the naive answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from ldmlab.conditioners.image import ImageConditioner, complete_each
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.evaluation.held_out import columns
from ldmlab.evaluation.measurement import Measurement
from ldmlab.metrics.base import Announced, begin_all
from ldmlab.metrics.feed import Feed, Reading
from ldmlab.metrics.measured import Measured, measured
from ldmlab.models.latent_diffusion import LatentDiffusion, to_uint8
from ldmlab.progress import track

NAIVE = "naive/"
"""What the names of figures of the naive answer begin with."""


def measure_restorations(model: LatentDiffusion, measurement: Measurement) -> Measured:
    """Measure pictures drawn again, each by a seed of its own, and what there is of them without a model.

    Args:
        model: that draws; its conditioner says what is left of a picture.
        measurement: on held-out samples.

    Returns:
        The figures of the metrics, those of the naive answer as "naive/...", and "n".

    Raises:
        ValueError: a metric reads what there is not.
    """
    heldout, drawing, shares = measurement.samples, measurement.drawn, measurement.shares
    metrics, extractor = measurement.metrics, measurement.extractor
    naive = {name: metric.twin() for name, metric in metrics.items()}
    sides = {"drawn": metrics, "naive": naive}
    both = [*metrics.values(), *naive.values()]
    real = Feed("real", [metric.update_reference for metric in both], extractor)
    made = {side: Feed(side, [metric.update for metric in own.values()], extractor) for side, own in sides.items()}
    begin_all(both, Announced(heldout.n, heldout.seed), extractor)
    feeds = {"real": real, **made}

    def read(part: range) -> dict[str, Reading]:
        batch = heldout.batch(part)
        own = drawing.of(drawing.seeds[part.start : part.stop])
        truth, beside = to_uint8(batch["images"]), columns(batch)
        real.require({"images", *beside})
        made["drawn"].require({"images", "truth", *beside})
        pictures = {"real": lambda: truth, **_restored(model, own, batch)}

        def given(side: str) -> dict[str, Any]:
            return {**beside, "images": pictures[side](), "truth": truth}

        return {side: shares.read(feed, part, partial(given, side)) for side, feed in feeds.items()}

    for readings in shares.each(track(heldout.parts(), "sampling"), read):
        for side, feed in feeds.items():
            feed.add(readings[side])
    for feed in feeds.values():
        feed.close()
    of_naive = replace(measured(naive, NAIVE), notes=[])
    return measured(metrics) | of_naive | Measured({"n": float(heldout.n)})


def _restored(model: LatentDiffusion, drawing: Drawing, batch: Mapping[str, Any]) -> dict[str, Callable[[], Tensor]]:
    """What gives the pictures as the model draws them, and as they are without it."""
    conditioner = model.conditioner
    assert isinstance(conditioner, ImageConditioner)
    task = complete_each(conditioner, batch, drawing.seeds)
    return {
        "drawn": lambda: conditioner.finish(task, sample(model, drawing, task)),
        "naive": lambda: to_uint8(conditioner.naive(task)).cpu(),
    }
