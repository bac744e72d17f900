"""Measures editing methods as the config of `ldmlab pie_bench` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from ldmlab.configs.build import build_drawing, build_method, method_settings, resolved
from ldmlab.configs.methods import compose_methods
from ldmlab.drawing.computing import ready_to_draw
from ldmlab.drawing.records import drawing_record
from ldmlab.editing.methods.base import EditMethod, EditTask
from ldmlab.evaluation.measured_model import model_fields
from ldmlab.evaluation.pie_bench.choice import require_prompts, require_readable, with_change
from ldmlab.evaluation.pie_bench.edits import require_editing
from ldmlab.evaluation.pie_bench.files import PieFiles
from ldmlab.evaluation.pie_bench.folder import PieCase, PieFolder
from ldmlab.evaluation.pie_bench.measure import PieBench, PieMeasured, side_of
from ldmlab.evaluation.pie_bench.published import reasons
from ldmlab.evaluation.shares import Shares
from ldmlab.metrics.base import own_networks
from ldmlab.metrics.editing.base import EditMetric
from ldmlab.metrics.manifest import Manifest, package_versions, record, sampling_fields
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded
from ldmlab.precision import Precision, pick_precision
from ldmlab.samplers.noise import picture_seeds

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class PieRun:
    """What a config names, found to be there and right before a model is loaded.

    Attributes:
        methods: by what they are called.
        settings: of each method, as plain data.
        metrics: what is measured, by name.
        folder: of the benchmark.
        cases: those of its edits that are made.
        notes: what to know of them, a line each.
    """

    methods: Mapping[str, EditMethod]
    settings: Mapping[str, Settings]
    metrics: Mapping[str, EditMetric]
    folder: PieFolder
    cases: Sequence[PieCase]
    notes: Sequence[str]

    @staticmethod
    def of(cfg: DictConfig) -> PieRun:
        """Build and read it.

        Raises:
            ValueError: bad input.
        """
        composed = compose_methods(cfg.methods)
        methods = {name: _method(name, each) for name, each in composed.items()}
        settings = {name: method_settings(each) for name, each in composed.items()}
        folder = PieFolder.read(cfg.path)
        categories = None if cfg.categories is None else [*map(str, cfg.categories)]
        cases, notes = with_change(folder.chosen(cfg.n, categories, cfg.seed))
        require_readable(cases)
        metrics, left_out = _metrics(cfg)
        return PieRun(methods, settings, metrics, folder, cases, [*notes, *left_out])


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
    cfg: DictConfig,
    run: PieRun,
    loaded: Loaded[LatentDiffusion],
    shares: Shares,
    tell: Callable[[str], None] = print,
) -> PieFound:
    """Measure a model's edits.

    Args:
        cfg: whole.
        run: what it names.
        loaded: the model, on the device that `cfg` says; its networks come to compute in its precision for good.
        shares: among which ranks the work is shared, and where what is done is kept.
        tell: is told what is there already.

    Raises:
        ValueError: the model cannot make such edits.
    """
    require_prompts(loaded.model, run.cases, cfg.ckpt)
    precision = pick_precision(cfg.precision, cfg.device)
    settings = _settings(cfg, run, loaded, precision)
    told = _shares(run, settings, shares)
    for each in told.values():
        if each.kept is not None:
            each.kept.tell(tell)
    task = _task(cfg, loaded.model, precision, len(run.cases) * len(run.methods) // shares.ranks.world)
    files = PieFiles(Path(cfg.output_dir) / "pictures", settings) if cfg.save_pictures else None
    bench = PieBench(
        task, run.cases, picture_seeds(cfg.seed, len(run.cases)), [*run.metrics.values()], cfg.words, files
    )
    measured = bench.measure(run.methods, told)
    whole = {**settings, "methods": run.settings}
    manifest = _manifest(cfg, run, loaded, precision, whole)
    why = reasons(asdict(manifest), measured.names, run.settings, cfg.words)
    return PieFound(measured, record(measured.found, manifest, run.notes), why, whole)


def _method(name: str, cfg: DictConfig) -> EditMethod:
    try:
        method = build_method(cfg)
    except ValueError as error:
        raise ValueError(f"methods={name}: method.{error}") from error
    require_editing(name, method)
    return method


def _metrics(cfg: DictConfig) -> tuple[dict[str, EditMetric], list[str]]:
    """The metrics by name, and a note on each whose network has no weights here."""
    found: dict[str, EditMetric] = {}
    notes = []
    for name, section in cfg.edit_metric.items():
        if section.get("extractor") and section.extractor.get("weights", "") is None:
            key = f"edit_metric.{name}.extractor"
            notes.append(f"{name} is left out for want of weights: {key}.weights=FILE of {section.extractor.model}")
        else:
            found[name] = instantiate(section)
    if not found:
        raise ValueError(f"edit_metric: {notes[0] if notes else 'there is none'}; so nothing would be measured")
    return found, notes


def _shares(run: PieRun, settings: Settings, shares: Shares) -> dict[str, Shares]:
    """Of each method, what it has to do with and what is kept of it alone."""
    about = {**settings, "cases": [case.key for case in run.cases], "versions": package_versions()}
    return {name: shares.of({**about, "method": own}) for name, own in run.settings.items()}


def _task(cfg: DictConfig, model: LatentDiffusion, precision: Precision, count: int) -> EditTask:
    """The model that edits and how it draws, ready for so many pictures."""
    drawing = build_drawing(cfg, model, (), precision)
    return EditTask(model, ready_to_draw(model, drawing, cfg.compile, count))


def _settings(cfg: DictConfig, run: PieRun, loaded: Loaded[LatentDiffusion], precision: Precision) -> dict[str, Any]:
    """How edits are made and measured, whatever the method, as plain JSON data."""
    return {
        **drawing_record(loaded, precision, cfg.seed, resolved(cfg.sampler), resolved(cfg.guidance)),
        "folder": run.folder.path.name,
        "mapping_sha256": run.folder.sha256,
        "n": cfg.n,
        "categories": resolved(cfg)["categories"],
        "words": cfg.words,
        "size": side_of(loaded.model),
        "figures": [name for metric in run.metrics.values() for name in metric.names],
        "networks": own_networks(run.metrics),
    }


def _manifest(
    cfg: DictConfig, run: PieRun, loaded: Loaded[LatentDiffusion], precision: Precision, edits: Settings
) -> Manifest:
    return Manifest(
        metric="pie_bench",
        table="pie_bench",
        n=len(run.cases),
        seed=cfg.seed,
        pictures=str(run.folder.path),
        pictures_fingerprint=run.folder.sha256,
        picture_size=(side_of(loaded.model),) * 2,
        **model_fields(loaded, precision),
        networks=own_networks(run.metrics),
        edit_config={name: edits[name] for name in ("n", "categories", "words", "methods")},
        **sampling_fields(resolved(cfg.sampler), resolved(cfg.guidance)),
    )
