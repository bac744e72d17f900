"""Measures a model as the config of `ldmlab evaluate` says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.configs.build import build_drawing, build_metrics, resolved
from ldmlab.configs.filters import build_filter
from ldmlab.configs.given import DEFAULT_N, given_reference, named_fields, reference_cache, saving_metric
from ldmlab.configs.unread import refuse_choices
from ldmlab.data.filters.filter import Filter
from ldmlab.drawing.drawing import Drawing
from ldmlab.evaluation.class_requests import class_requests
from ldmlab.evaluation.evaluate import task_of
from ldmlab.evaluation.held_out import HeldOut, held_out, needs_of
from ldmlab.evaluation.measurement import Measurement, reads_latents
from ldmlab.evaluation.picture_set import PictureSet
from ldmlab.evaluation.record import evaluate_loaded
from ldmlab.evaluation.reference import compares
from ldmlab.evaluation.requests import Requests, Unasked
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.metrics.base import Metric
from ldmlab.metrics.manifest import sampling_fields
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded
from ldmlab.precision import pick_precision
from ldmlab.training.trained_on import heldout_reference, remembered_filter, tell_of_seen

AnyLoaded = Loaded[LatentDiffusion] | Loaded[Autoencoder]


def evaluate_from(
    cfg: DictConfig,
    loaded: AnyLoaded,
    chosen: Iterable[str] = (),
    tell: Callable[[str], None] = print,
    shares: Shares = SINGLE,
) -> dict[str, Any]:
    """Measure a model; see `ldmlab.evaluation.evaluate`.

    Args:
        cfg: whole; `ckpt` is what the user called the model.
        loaded: the model, on the device that `cfg` says; its networks come to compute in its precision for good.
        chosen: keys and groups that the user set, to refuse those that nothing reads.
        tell: called with a line that the user should know before figures are there.
        shares: among which ranks the work is shared, and where what is done is kept.

    Returns:
        "metrics", the figures by name, None for an infinite one; "notes", a line each; "manifest".

    Raises:
        ValueError: bad input.
    """
    precision = pick_precision(cfg.precision, cfg.device)
    metrics, called = build_metrics(cfg.get("metric") or {}, task_of(loaded.model), precision.device)
    extractor = instantiate(cfg.extractor).to(precision.device)
    if task_of(loaded.model) != "samples":
        own = "what is measured is compared with the pictures that it was made of"
        refuse_choices(chosen, ("reference", "n_reference", "image_size"), own)
    reference: PictureSet | None = given_reference(cfg)
    drawing = _drawing(cfg, loaded, metrics.values(), chosen)
    requests = _requests(cfg, loaded.model)
    heldout: HeldOut | None = None
    notes: list[str] = []
    if _needs_shards(requests, reference, metrics.values()):
        shards, folder = _shards(cfg, loaded, tell)
        heldout = shards(cfg.n or DEFAULT_N)
        tell_of_seen(loaded, folder, heldout.whole, notes.append)
        if reference is None and cfg.n_reference is not None:
            reference = shards(cfg.n_reference)
    measurement = Measurement(
        metrics | saving_metric(cfg),
        extractor,
        precision,
        heldout,
        requests,
        reference,
        drawing,
        cfg.pictures_per_caption,
        reference_cache(cfg),
        shares,
    )
    sampling = sampling_fields(resolved(cfg.sampler), resolved(cfg.guidance))
    fields = {"metric": called, **_fields(cfg, loaded.model)}
    return evaluate_loaded(loaded, measurement, cfg.compile, sampling=sampling, fields=fields, notes=notes, tell=tell)


def _needs_shards(requests: Requests | None, reference: PictureSet | None, metrics: Iterable[Metric]) -> bool:
    """Whether held-out samples are asked for, or something compares with them."""
    of_them = any(reads_latents(metric) or (reference is None and compares(metric)) for metric in metrics)
    return requests is None or of_them


def _shards(cfg: DictConfig, loaded: AnyLoaded, tell: Callable[[str], None]) -> tuple[Callable[[int], HeldOut], Path]:
    """What gives so many held-out samples, and the folder that they are in."""
    needs = needs_of(loaded.model)
    folder = heldout_reference(cfg.ckpt, loaded, needs, tell, cfg.data.path, cfg.data.heldout_path)
    give = partial(
        held_out,
        folder,
        needs,
        loaded.checkpoint.config["image_size"],
        seed=cfg.seed,
        batch_size=cfg.batch_size,
        tell=tell,
        scaled_decoding=bool((loaded.checkpoint.data or {}).get("scaled_decoding")),
        filter=_filter(cfg, loaded),
        choice=cfg.data.subset,
        choice_seed=cfg.data.subset_seed,
    )
    return give, folder


def _requests(cfg: DictConfig, model: LatentDiffusion | Autoencoder) -> Requests | None:
    """What a model is asked for, where it is not what is known of held-out samples."""
    n, seed, batch_size = cfg.n or DEFAULT_N, cfg.seed, cfg.batch_size
    if isinstance(model, Autoencoder):
        return None
    if not model.conditioner.reads and cfg.conditions == "heldout" and cfg.reference is not None:
        return Unasked(n, seed, batch_size)
    return class_requests(model, cfg.conditions, n, seed, batch_size, cfg.pictures_per_caption)


def _fields(cfg: DictConfig, model: LatentDiffusion | Autoencoder) -> dict[str, Any]:
    """What the manifest says of the protocol, and of what was asked for."""
    if isinstance(model, Autoencoder):
        return {**named_fields(cfg, ()), "table": None}
    return {**named_fields(cfg, model.conditioner.reads), "conditions": cfg.conditions}


def _filter(cfg: DictConfig, loaded: AnyLoaded) -> Filter | None:
    """That of the config; where it chooses none and names no data, the one that the model was trained with."""
    is_remembered = cfg.get("filter") is None and cfg.data.path is None and cfg.data.heldout_path is None
    return remembered_filter(loaded) if is_remembered else build_filter(cfg)


def _drawing(cfg: DictConfig, loaded: AnyLoaded, metrics: Iterable[Metric], chosen: Iterable[str]) -> Drawing | None:
    """How pictures are drawn, where any are."""
    model = loaded.model
    if isinstance(model, Autoencoder):
        groups = ("sampler", "guidance", "pictures_per_caption", "conditions", "table")
        refuse_choices(chosen, groups, "an autoencoder is measured by what it returns")
        return None
    if all(map(reads_latents, metrics)):
        return None
    return build_drawing(cfg, model, (), pick_precision(cfg.precision, cfg.device), loaded.autoencoder_sha256)
