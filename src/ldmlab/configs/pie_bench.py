"""Measures editing methods as the config of `ldmlab pie_bench` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from ldmlab.configs.build import build_drawing, build_method, method_settings, resolved
from ldmlab.configs.methods import compose_methods
from ldmlab.drawing.computing import ready_to_draw
from ldmlab.drawing.records import drawing_record
from ldmlab.editing.methods.base import EditMethod, EditTask
from ldmlab.evaluation.measured_model import model_fields
from ldmlab.evaluation.pie_bench.edits import require_editing
from ldmlab.evaluation.pie_bench.folder import PieFolder
from ldmlab.evaluation.pie_bench.measure import PieBench, PieMeasured, require_prompts, side_of, with_change
from ldmlab.evaluation.pie_bench.published import reasons
from ldmlab.evaluation.shares import Shares
from ldmlab.metrics.editing.base import EditMetric
from ldmlab.metrics.manifest import Manifest, package_versions, record, sampling_fields
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded
from ldmlab.precision import Precision, pick_precision
from ldmlab.samplers.noise import picture_seeds

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class PieFound:
    """What was measured, and what its files say.

    Attributes:
        measured: the figures.
        result: see `record`.
        reasons: why they do not compare with the published ones, a line each.
        settings: plain JSON data on how the pictures were made.
    """

    measured: PieMeasured
    result: dict[str, Any]
    reasons: Sequence[str]
    settings: Settings


def measure_from(
    cfg: DictConfig, loaded: Loaded[LatentDiffusion], shares: Shares, tell: Callable[[str], None] = print
) -> PieFound:
    """Measure a model's edits.

    Args:
        cfg: whole.
        loaded: the model, on the device that `cfg` says; its networks come to compute in its precision for good.
        shares: among which ranks the work is shared, and where what is done is kept.
        tell: is told what is there already.

    Raises:
        ValueError: bad input.
    """
    methods, own = _methods(cfg)
    metrics: list[EditMetric] = [instantiate(section) for section in cfg.edit_metric.values()]
    folder = PieFolder.read(cfg.path)
    cases, notes = with_change(folder.chosen(cfg.n, cfg.categories and [*map(str, cfg.categories)], cfg.seed))
    require_prompts(loaded.model, cases, cfg.ckpt)
    precision = pick_precision(cfg.precision, cfg.device)
    settings = _settings(cfg, loaded, precision, folder, metrics)
    about = {**settings, "cases": [case.key for case in cases], "versions": package_versions()}
    told = {name: shares.of({**about, "method": own[name]}) for name in methods}
    for each in told.values():
        if each.kept is not None:
            each.kept.tell(tell)
    task = _task(cfg, loaded.model, precision, len(cases) * len(methods) // shares.ranks.world)
    bench = PieBench(task, cases, picture_seeds(cfg.seed, len(cases)), metrics, cfg.words)
    measured = bench.measure(methods, told)
    manifest = _manifest(cfg, loaded, precision, len(cases), {**settings, "methods": own})
    result = record(measured.found, manifest, notes)
    said = {**asdict(manifest), "image_size": side_of(loaded.model), "checkpoint_name": loaded.path.name}
    why = reasons(said, measured.names, own, cfg.words)
    return PieFound(measured, result, why, {**settings, "methods": own})


def _methods(cfg: DictConfig) -> tuple[dict[str, EditMethod], dict[str, Settings]]:
    """Each method, and its settings as plain data."""
    composed = compose_methods(cfg.methods)
    methods = {name: build_method(each) for name, each in composed.items()}
    for name, method in methods.items():
        require_editing(name, method)
    return methods, {name: method_settings(each) for name, each in composed.items()}


def _task(cfg: DictConfig, model: LatentDiffusion, precision: Precision, count: int) -> EditTask:
    """The model that edits and how it draws, ready for so many pictures."""
    drawing = build_drawing(cfg, model, (), precision)
    return EditTask(model, ready_to_draw(model, drawing, cfg.compile, count))


def _settings(
    cfg: DictConfig,
    loaded: Loaded[LatentDiffusion],
    precision: Precision,
    folder: PieFolder,
    metrics: Sequence[EditMetric],
) -> dict[str, Any]:
    """How edits are made and measured, whatever the method, as plain JSON data."""
    networks = {name: sha256 for metric in metrics for name, sha256 in metric.networks.items()}
    figures = [name for metric in metrics for name in metric.names]
    return {
        **drawing_record(loaded, precision, cfg.seed, resolved(cfg.sampler), resolved(cfg.guidance)),
        "folder": folder.path.name,
        "mapping_sha256": folder.sha256,
        "n": cfg.n,
        "categories": resolved(cfg)["categories"],
        "words": cfg.words,
        "size": side_of(loaded.model),
        "figures": figures,
        "networks": networks,
    }


def _manifest(
    cfg: DictConfig, loaded: Loaded[LatentDiffusion], precision: Precision, count: int, edits: Settings
) -> Manifest:
    names = ("folder", "mapping_sha256", "n", "categories", "words", "size", "networks", "methods")
    return Manifest(
        metric="pie_bench",
        n=count,
        seed=cfg.seed,
        **model_fields(loaded, precision),
        edit_config={name: edits[name] for name in names},
        **sampling_fields(resolved(cfg.sampler), resolved(cfg.guidance)),
    )
