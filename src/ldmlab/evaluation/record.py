"""A measured checkpoint as a record: figures, what to know before they are compared, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.drawing.computing import Compile
from ldmlab.evaluation.evaluate import evaluate
from ldmlab.evaluation.held_out import Tell
from ldmlab.evaluation.measured_model import model_fields
from ldmlab.evaluation.measurement import Measurement
from ldmlab.evaluation.picture_set import PictureSet
from ldmlab.evaluation.reference import notes_on
from ldmlab.evaluation.saving import SavedPictures, finish_saving
from ldmlab.evaluation.shares import Shares
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric, own_networks, settings_of
from ldmlab.metrics.bound import VariationalBound
from ldmlab.metrics.manifest import Manifest, record
from ldmlab.metrics.measured import COUNTS, Measured
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded


def evaluate_loaded(
    loaded: Loaded[LatentDiffusion] | Loaded[Autoencoder],
    measurement: Measurement,
    compile: Compile = "auto",
    *,
    sampling: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    tell: Tell = print,
) -> dict[str, Any]:
    """Measure a model from a file; see `evaluate`.

    Args:
        loaded: on the device of the measurement's precision.
        measurement: see `evaluate`; what is kept of its batches is taken by a later start with the same manifest.
        compile: whether networks are compiled.
        sampling: how pictures are drawn as fields of the manifest, see `sampling_fields`.
        fields: more of the manifest: `metric`, `conditions`, `protocol`, `table`.
        notes: what is known already that one should know before the figures are compared.
        tell: is told what is there already.

    Returns:
        See `record`: "metrics", the figures by name; "errors"; "notes", a line each; "manifest".

    Raises:
        ValueError: see `evaluate`.
    """
    asked_for, compared = measurement.asked, measurement.compared
    manifest = Manifest(
        n=asked_for.n,
        seed=asked_for.seed,
        picture_size=(loaded.checkpoint.config["image_size"],) * 2,
        **measuring_fields(measurement.metrics, measurement.extractor, compared),
        **model_fields(loaded, measurement.precision),
        **_used(loaded.model, measurement, sampling or {}),
        **(fields or {}),
    )
    shares = shares_of(manifest, asked_for.batch_size, measurement.metrics, measurement.shares, tell)
    found = evaluate(loaded.model, replace(measurement, shares=shares), compile)
    return finished(found, manifest, measurement.metrics, compared, shares, notes)


def shares_of(
    manifest: Manifest, batch_size: int, metrics: Mapping[str, Metric], shares: Shares, tell: Tell = print
) -> Shares:
    """The shares of a measurement that is described by its manifest; `tell` is told what is there already."""
    own = shares.of(_kept_by(manifest, batch_size, metrics))
    if own.kept is not None:
        own.kept.tell(tell)
    return own


def finished(
    found: Measured,
    manifest: Manifest,
    metrics: Mapping[str, Metric],
    reference: PictureSet | None,
    shares: Shares,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Finish the pictures that were saved, and return what was found as a record, see `record`.

    Args:
        found: by the metrics.
        manifest: with the number and the size of the pictures.
        metrics: by name.
        reference: the pictures that were compared with, if any.
        shares: of the measurement.
        notes: what else to know, a line each; they come first.
    """
    finish_saving(metrics.values(), shares)
    about = [] if reference is None else notes_on(reference, metrics.values(), manifest.n, manifest.picture_size)
    return record(found, manifest, [*notes, *about, *_notes_on_silence(found, metrics)])


def measuring_fields(
    metrics: Mapping[str, Metric], extractor: FeatureExtractor, reference: PictureSet | None
) -> dict[str, Any]:
    """The fields of a `Manifest` that say what was measured with, and what pictures were compared with."""
    fields = {
        "extractor": extractor.name,
        "extractor_sha256": extractor.weights_sha256,
        "networks": own_networks(metrics),
        "metric_config": settings_of(metrics),
    }
    return fields if reference is None else {**fields, **_reference_fields(reference)}


def _notes_on_silence(found: Measured, metrics: Mapping[str, Metric]) -> list[str]:
    """A line where metrics were chosen, and none of them has found in the pictures what it looks for."""
    silent = [name for name, each in metrics.items() if not isinstance(each, SavedPictures)]
    if not silent or found.figures.keys() - set(COUNTS):
        return []
    return [f"metric={','.join(silent)}: found nothing to measure in these pictures; choose another metric"]


def _reference_fields(reference: PictureSet) -> dict[str, Any]:
    return {
        "reference": reference.name.removeprefix("reference="),
        "reference_kind": reference.kind,
        "reference_chosen": reference.chosen,
        "reference_fingerprint": reference.fingerprint,
        "reference_size": reference.size,
        "n_reference": reference.n or None,
    }


def _kept_by(manifest: Manifest, batch_size: int, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """What has to be the same for what came of a batch to be taken for a later start's."""
    said = asdict(manifest)
    del said["measured_at"], said["device"]  # the time, and a name with the number of threads
    return {
        **said,
        "batch_size": batch_size,
        "metrics": {name: str(type(each)) for name, each in metrics.items()},
    }


def _used(
    model: LatentDiffusion | Autoencoder, measurement: Measurement, sampling: Mapping[str, Any]
) -> dict[str, Any]:
    """What the manifest says of how the model was used."""
    if isinstance(model, Autoencoder):
        return {}
    fields: dict[str, Any] = {}
    for metric in measurement.metrics.values():
        if isinstance(metric, VariationalBound):
            fields["bound_steps"] = metric.steps or len(model.denoiser.schedule)
    if measurement.of_pictures.metrics:
        fields |= {**sampling, "pictures_per_caption": measurement.pictures_per_caption}
    return fields
