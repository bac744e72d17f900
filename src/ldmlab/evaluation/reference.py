"""The pictures that others are compared with, handed to metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from ldmlab.evaluation.picture_set import PictureSet
from ldmlab.evaluation.read_ahead import read_ahead
from ldmlab.evaluation.reference_cache import ReferenceCache, about
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric, parameters
from ldmlab.metrics.feed import Feed, Reading
from ldmlab.progress import track


@runtime_checkable
class KnowsStatistics(Protocol):
    """A reference that can spare some metrics its pictures."""

    def take(self, metric: Metric, extractor: FeatureExtractor) -> bool:
        """Give a metric what it compares with, if that is known; return whether it is."""


def read_reference(
    reference: PictureSet,
    metrics: Iterable[Metric],
    extractor: FeatureExtractor,
    shares: Shares = SINGLE,
    cache: ReferenceCache | None = None,
) -> None:
    """Hand a reference to the metrics that compare with one; its pictures are read where a metric has to see them.

    Args:
        reference: the pictures.
        metrics: all of them.
        extractor: the network of metrics that have none of their own.
        shares: which batches this rank reads.
        cache: what earlier measurements have taken of references; None to look at all of them.

    Raises:
        ValueError: a metric reads what the pictures lack.
    """
    left = [metric for metric in metrics if compares(metric)]
    if isinstance(reference, KnowsStatistics):
        left = [metric for metric in left if not reference.take(metric, metric.extractor or extractor)]
    if not left:
        return
    known = [None if cache is None else _about(metric, extractor, reference) for metric in left]
    if cache is None or not _recall(left, known, cache, shares):
        _read(reference, Feed("real", [metric.update_reference for metric in left], extractor), shares)
        if cache is not None and shares.ranks.is_first:
            for metric, said in zip(left, known, strict=True):
                if said is not None:
                    cache.store(said, metric.left())


def notes_on(reference: PictureSet, metrics: Iterable[Metric], n: int, size: tuple[int, int] | None) -> list[str]:
    """What to know of a reference before figures are compared, a line each.

    Args:
        reference: the pictures.
        metrics: of which some compare with it.
        n: how many pictures are measured.
        size: their height and width, where that is known.
    """
    notes: list[str] = []
    if not any(map(compares, metrics)):
        return notes
    if isinstance(reference, KnowsStatistics):
        notes.append(f"{reference.name}: nobody says of how many pictures its statistics are")
    if reference.n not in (0, n):
        notes.append(
            f"{n:,} pictures are compared with {reference.n:,} of {reference.name}; figures depend on both numbers, so "
            "compare them with figures of the same ones"
        )
    if size and reference.size and size != reference.size:
        sizes = [f"{width} x {height}" for height, width in (size, reference.size)]
        notes.append(f"pictures of {sizes[0]} are compared with ones of {sizes[1]}; the extractor resizes both")
    return notes


def compares(metric: Metric) -> bool:
    """Whether a metric reads pictures to compare with."""
    return bool(parameters(metric.update_reference))


def _about(metric: Metric, extractor: FeatureExtractor, reference: PictureSet) -> dict[str, Any] | None:
    pictures = reference.about()
    return None if pictures is None else about(metric, metric.extractor or extractor, pictures)


def _recall(
    metrics: Sequence[Metric], known: Sequence[dict[str, Any] | None], cache: ReferenceCache, shares: Shares
) -> bool:
    """Give metrics the states that they were left with, if those of all are there, on every rank.

    All or none: what a measurement that was killed has kept of a batch is of all of them together.
    """
    kept = [None if said is None else cache.load(said) for said in known]
    found = [states for states in kept if states is not None]
    if not all(shares.ranks.gather(len(found) == len(metrics))):
        return False
    for metric, states in zip(metrics, found, strict=True):
        metric.join(states)
    return True


def _read(reference: PictureSet, feed: Feed, shares: Shares) -> None:
    parts = reference.parts()
    with read_ahead(reference.pictures, shares.left(feed.name, parts)) as pictures:

        def read(part: range) -> Reading:
            def given() -> dict[str, Any]:
                batch = pictures(part)
                feed.require(batch)
                return batch

            return shares.read(feed, part, given)

        for reading in shares.each(track(parts, "reading"), read):
            feed.add(reading)
    feed.close()
