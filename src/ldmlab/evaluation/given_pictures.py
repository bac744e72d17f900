"""Measures pictures that are there already, whoever made them, beside others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ldmlab.evaluation.given.picture_set import GivenPictures
from ldmlab.evaluation.held_out import Tell
from ldmlab.evaluation.picture_set import PictureSet
from ldmlab.evaluation.read_ahead import read_ahead
from ldmlab.evaluation.record import finished, measuring_fields, shares_of
from ldmlab.evaluation.reference import compares, read_reference
from ldmlab.evaluation.reference_cache import ReferenceCache
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Announced, Metric, begin_all, parameters
from ldmlab.metrics.feed import Feed, Reading
from ldmlab.metrics.manifest import Manifest, device_name
from ldmlab.metrics.measured import Measured, measured
from ldmlab.precision import Precision
from ldmlab.progress import track


def measure_given(
    pictures: GivenPictures,
    reference: PictureSet | None,
    metrics: Mapping[str, Metric],
    extractor: FeatureExtractor,
    seed: int = 0,
    shares: Shares = SINGLE,
    cache: ReferenceCache | None = None,
) -> Measured:
    """Measure n pictures.

    Args:
        pictures: they.
        reference: those to compare with, of any number; metrics that read `truth` get the ones of the same numbers.
            None where no metric compares.
        metrics: by name.
        extractor: the network of metrics that have none of their own.
        seed: of whatever a metric draws.
        shares: which batches this rank reads.
        cache: see `read_reference`.

    Returns:
        The figures of the metrics, "n_fake", and "n_real" of the reference's pictures.

    Raises:
        ValueError: there is no metric, or one that reads what there is not.
    """
    feed = Feed("given", [metric.update for metric in metrics.values()], extractor)
    truth = reference if "truth" in feed.reads else None
    _require(metrics, reference)
    feed.require({"images", *pictures.names, *(() if truth is None else ("truth",))})
    if reference is not None:
        read_reference(reference, metrics.values(), extractor, shares, cache)
    captions = pictures.known({"captions"}).get("captions")
    begin_all(metrics.values(), Announced(pictures.n, seed, captions), extractor)

    def given(part: range) -> dict[str, Any]:
        batch = pictures.pictures(part)
        return batch if truth is None else {**batch, "truth": _truth(batch, pictures, truth, part)}

    parts = pictures.parts()
    with read_ahead(given, shares.left(feed.name, parts)) as ahead:

        def read(part: range) -> Reading:
            return shares.read(feed, part, lambda: ahead(part))

        for reading in shares.each(track(parts, "measuring"), read):
            feed.add(reading)
    feed.close()
    counts = {"n_real": float(reference.n)} if reference is not None and reference.n else {}
    return measured(metrics) | Measured({**counts, "n_fake": float(pictures.n)})


def _require(metrics: Mapping[str, Metric], reference: PictureSet | None) -> None:
    if not metrics:
        raise ValueError("metric: there is none, so nothing would be measured; choose some, such as metric=pictures")
    comparing = [name for name, each in metrics.items() if compares(each) or parameters(each.update).get("truth")]
    if reference is None and comparing:
        raise ValueError(
            f"reference: metric={comparing[0]} compares with other pictures; give reference=FOLDER_OR_NPZ, or "
            "data.path=DATASET for its held-out ones"
        )


def _truth(batch: Mapping[str, Any], pictures: GivenPictures, reference: PictureSet, part: range) -> torch.Tensor:
    """The reference's pictures of the same numbers, which have to be the same ones before something befell them."""
    why = "and a metric compares each picture with its own; give a reference of the same pictures in the same order"
    if reference.n != pictures.n:
        raise ValueError(f"{reference.name}: holds {reference.n} pictures for {pictures.n}, {why}")
    other = reference.pictures(part)
    for mine, its in zip(batch.get("keys", ()), other.get("keys", ()), strict=False):
        if mine != its:
            raise ValueError(f"{reference.name}: has {its} where {pictures.name} has {mine}, {why}")
    images: torch.Tensor = other["images"]
    if images.shape != batch["images"].shape:
        sizes = [f"{each.shape[3]} x {each.shape[2]}" for each in (images, batch["images"])]
        raise ValueError(f"{reference.name}: pictures are {sizes[0]} for {sizes[1]}; give image_size= for both")
    return images


def evaluate_given(
    pictures: GivenPictures,
    reference: PictureSet | None,
    metrics: Mapping[str, Metric],
    extractor: FeatureExtractor,
    *,
    device: torch.device,
    seed: int = 0,
    image_size: int | None = None,
    called: str = "pictures",
    fields: Mapping[str, Any] | None = None,
    shares: Shares = SINGLE,
    cache: ReferenceCache | None = None,
    tell: Tell = print,
) -> dict[str, Any]:
    """Measure pictures as a record; see `measure_given`.

    Args:
        pictures: see `measure_given`, as all that is not named here.
        reference: what they are compared with.
        metrics: by name.
        extractor: of features, on the device.
        device: where it computes.
        seed: of whatever a metric draws.
        image_size: to what pictures were cropped and scaled; None if they were not.
        called: what the manifest calls the choice of metrics.
        fields: more of the manifest: `protocol`, `table`.
        shares: among which ranks the work is shared, and where what is done is kept.
        cache: of references.
        tell: is told what is there already.

    Returns:
        See `ldmlab.metrics.manifest.record`.
    """
    manifest = Manifest(
        metric=called,
        n=pictures.n,
        seed=seed,
        device=device_name(device),
        pictures=pictures.name.partition("=")[2],
        pictures_fingerprint=pictures.fingerprint,
        pictures_chosen=pictures.chosen,
        resized_to=image_size,
        picture_size=pictures.size,
        **measuring_fields(metrics, extractor, reference),
        **(fields or {}),
    )
    shares = shares_of(manifest, pictures.batch_size, metrics, shares, tell)
    with Precision("fp32", device).arithmetic():
        found = measure_given(pictures, reference, metrics, extractor, seed, shares, cache)
    return finished(found, manifest, metrics, reference, shares)
