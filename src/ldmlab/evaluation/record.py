"""A measured checkpoint as a record: figures, what to know before they are compared, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.drawing.computing import Compile
from ldmlab.drawing.drawing import Drawing
from ldmlab.evaluation.evaluate import evaluate, reads_latents
from ldmlab.evaluation.held_out import HeldOut, Tell
from ldmlab.evaluation.measured_model import model_fields
from ldmlab.evaluation.picture_set import PictureSet
from ldmlab.evaluation.reference import notes_on
from ldmlab.evaluation.reference_cache import ReferenceCache
from ldmlab.evaluation.requests import Requests
from ldmlab.evaluation.saving import finish_saving
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric, own_networks, settings_of
from ldmlab.metrics.bound import VariationalBound
from ldmlab.metrics.manifest import Manifest, record
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded
from ldmlab.precision import Precision


def evaluate_loaded(
    loaded: Loaded[LatentDiffusion] | Loaded[Autoencoder],
    heldout: HeldOut | None,
    metrics: Mapping[str, Metric],
    extractor: FeatureExtractor,
    drawing: Drawing | None = None,
    *,
    precision: Precision,
    compile: Compile = "auto",
    pictures_per_caption: int = 1,
    sampling: Mapping[str, Any] | None = None,
    called: str = "pictures",
    requests: Requests | None = None,
    fields: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    shares: Shares = SINGLE,
    tell: Tell = print,
    reference: PictureSet | None = None,
    cache: ReferenceCache | None = None,
) -> dict[str, Any]:
    """Measure a model from a file; see `evaluate`.

    Args:
        loaded: on the device of `precision`.
        heldout: see `evaluate`, as all that is not named here.
        metrics: by name.
        extractor: of features.
        drawing: how pictures are drawn.
        precision: what the model computes in.
        compile: whether networks are compiled.
        pictures_per_caption: how often each condition is drawn.
        sampling: how pictures are drawn as fields of the manifest, see `sampling_fields`.
        called: what the manifest calls the choice of metrics.
        requests: see `evaluate`.
        fields: more of the manifest: `conditions`, `protocol`, `table`.
        notes: what is known already that one should know before the figures are compared.
        shares: see `evaluate`; what is kept is taken by a later start with the same manifest and batches.
        tell: is told what is there already.
        reference: see `evaluate`.
        cache: see `read_reference`.

    Returns:
        See `record`: "metrics", the figures by name; "notes", a line each; "manifest".

    Raises:
        ValueError: see `evaluate`.
    """
    asked_for, compared, size = requests or heldout, reference or heldout, (loaded.checkpoint.config["image_size"],) * 2
    assert asked_for is not None
    manifest = Manifest(
        metric=called,
        n=asked_for.n,
        seed=asked_for.seed,
        extractor=extractor.name,
        extractor_sha256=extractor.weights_sha256,
        networks=own_networks(metrics),
        metric_config=settings_of(metrics),
        picture_size=size,
        **({} if compared is None else reference_fields(compared)),
        **model_fields(loaded, precision),
        **_used(loaded.model, metrics, pictures_per_caption, sampling or {}),
        **(fields or {}),
    )
    shares = shares.of(kept_by(manifest, asked_for.batch_size, metrics))
    if shares.kept is not None:
        shares.kept.tell(tell)
    found = evaluate(
        loaded.model,
        heldout,
        metrics,
        extractor,
        drawing,
        precision=precision,
        compile=compile,
        pictures_per_caption=pictures_per_caption,
        shares=shares,
        requests=requests,
        reference=reference,
        cache=cache,
    )
    finish_saving(metrics.values(), shares)
    about = [] if compared is None else notes_on(compared, metrics.values(), asked_for.n, size)
    return record(found, manifest, [*notes, *about])


def reference_fields(reference: PictureSet) -> dict[str, Any]:
    """The fields of a `Manifest` that say what pictures were compared with."""
    return {
        "reference": reference.name.removeprefix("reference="),
        "reference_kind": reference.kind,
        "reference_chosen": reference.chosen,
        "reference_fingerprint": reference.fingerprint,
        "reference_size": reference.size,
        "n_reference": reference.n or None,
    }


def kept_by(manifest: Manifest, batch_size: int, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """What has to be the same for what came of a batch to be taken for a later start's."""
    said = asdict(manifest)
    del said["measured_at"], said["device"]  # the time, and a name with the number of threads
    return {
        **said,
        "batch_size": batch_size,
        "metrics": {name: str(type(each)) for name, each in metrics.items()},
    }


def _used(
    model: LatentDiffusion | Autoencoder,
    metrics: Mapping[str, Metric],
    pictures_per_caption: int,
    sampling: Mapping[str, Any],
) -> dict[str, Any]:
    """What the manifest says of how the model was used."""
    if isinstance(model, Autoencoder):
        return {}
    fields: dict[str, Any] = {}
    for metric in metrics.values():
        if isinstance(metric, VariationalBound):
            fields["bound_steps"] = metric.steps or len(model.denoiser.schedule)
    if not all(map(reads_latents, metrics.values())):
        fields |= {**sampling, "pictures_per_caption": pictures_per_caption}
    return fields
