"""`ldmlab benchmark`: an editing method on drawn scenes whose edits the verifier can judge."""

from __future__ import annotations

import math
from pathlib import Path

from omegaconf import DictConfig

from ldmlab.cli.tables import print_table
from ldmlab.configs.build import build_drawing, build_method, resolved
from ldmlab.drawing.computing import ready_to_draw
from ldmlab.drawing.records import drawing_record, portable
from ldmlab.editing.methods.base import EditTask
from ldmlab.evaluation.edit_benchmark import PICTURES_AN_EDIT, benchmark_edits, require_figure
from ldmlab.evaluation.edit_report import write_report
from ldmlab.metrics.manifest import Manifest, device_name, record, sampling_fields
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.precision import pick_precision

NOT_OF_THE_EDITS = ("sampler", "guidance", "output_dir", "figure")


def run(cfg: DictConfig) -> float:
    """Draw, edit, judge; print a table, write metrics.json, edits.csv and a contact sheet; return a figure."""
    require_figure(cfg.figure, cfg.kind)
    precision = pick_precision(cfg.precision, cfg.device)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
    model = loaded.model.to(precision.device)
    method = build_method(cfg)
    drawing = build_drawing(cfg, model, (), precision)
    task = EditTask(model, ready_to_draw(model, drawing, cfg.compile, PICTURES_AN_EDIT * cfg.n))
    benchmark = benchmark_edits(method, task, cfg.kind, cfg.n, cfg.seed, cfg.weight, cfg.ckpt)
    own = {key: value for key, value in resolved(cfg).items() if key not in NOT_OF_THE_EDITS}
    sampler, guidance = resolved(cfg.sampler), resolved(cfg.guidance)
    manifest = Manifest(
        metric="edits",
        n=len(benchmark.judged),
        seed=cfg.seed,
        device=device_name(precision.device),
        checkpoint=str(loaded.path),
        checkpoint_sha256=loaded.checkpoint.sha256,
        autoencoder_sha256=loaded.autoencoder_sha256,
        adapter=loaded.adapter_record,
        ema=loaded.checkpoint.ema,
        precision=precision.name,
        edit_config=own,
        **sampling_fields(sampler, guidance),
    )
    result = record(benchmark.figures, manifest, benchmark.remarks)
    settings = {key: portable(value) for key, value in own.items()}
    settings |= drawing_record(loaded, precision, cfg.seed, sampler, guidance)
    folder = Path(cfg.output_dir)
    write_report(folder, benchmark, result, settings)
    print_table(result["metrics"], f"{loaded.path}, {len(benchmark.judged)} edits, kind={cfg.kind}")
    for note in benchmark.remarks:
        print(note)
    print(f"metrics: {folder / 'metrics.json'}")
    return benchmark.figures.get(cfg.figure, math.nan)
