"""`ldmlab benchmark`: measure an editing method on drawn scenes that a verifier can judge."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command
from ldmlab.configs.commands.benchmark import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig

NOT_OF_THE_EDITS = ("sampler", "guidance", "output_dir", "figure", "devices", "num_nodes")
"""Keys that the manifest has elsewhere, or that change nothing."""


def run(cfg: DictConfig) -> float:
    """Draw, edit and judge; print a table, write the report, return the figure that a sweep is after."""
    from ldmlab.cli.joined import joined
    from ldmlab.cli.tables import print_table
    from ldmlab.configs.build import build_drawing, build_method, resolved
    from ldmlab.drawing.computing import ready_to_draw
    from ldmlab.drawing.records import drawing_record, portable
    from ldmlab.editing.methods.base import EditTask
    from ldmlab.evaluation.edit_benchmark import PICTURES_AN_EDIT, benchmark_edits
    from ldmlab.evaluation.edit_figures import require_figure
    from ldmlab.evaluation.edit_report import benchmark_record, write_report
    from ldmlab.evaluation.shares import Kept, Shares
    from ldmlab.metrics.manifest import package_versions, sampling_fields
    from ldmlab.models.loading import load_latent_diffusion
    from ldmlab.precision import pick_precision

    require_figure(cfg.figure, cfg.kind)
    folder = Path(cfg.output_dir)
    sampler, guidance = resolved(cfg.sampler), resolved(cfg.guidance)
    edits = {key: value for key, value in resolved(cfg).items() if key not in NOT_OF_THE_EDITS}
    with joined(cfg) as ranks:
        precision = pick_precision(cfg.precision, cfg.device)
        loaded = load_latent_diffusion(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
        model = loaded.model.to(precision.device)
        method = build_method(cfg)
        drawing = build_drawing(cfg, model, (), precision)
        settings = {key: portable(value) for key, value in edits.items()}
        settings |= drawing_record(loaded, precision, cfg.seed, sampler, guidance)
        kept = Kept(folder / "measured").of({**settings, "versions": package_versions()})
        kept.tell()
        task = EditTask(model, ready_to_draw(model, drawing, cfg.compile, PICTURES_AN_EDIT * cfg.n // ranks.world))
        shares = Shares(ranks, kept)
        benchmark = benchmark_edits(method, task, cfg.kind, cfg.n, cfg.seed, cfg.weight, cfg.ckpt, shares)
    result = benchmark_record(benchmark, loaded, precision, cfg.seed, edits, sampling_fields(sampler, guidance))
    if ranks.is_first:
        write_report(folder, benchmark, result, settings)
        kept.forget()
        title = f"{loaded.path}, {len(benchmark.judged)} edits, kind={cfg.kind}"
        print_table(result["metrics"], title, result["errors"])
        for line in (*benchmark.remarks, f"metrics: {folder / 'metrics.json'}"):
            print(line)
    return benchmark.figures.get(cfg.figure, math.nan)


COMMAND = Command(
    **vars(CHECKS),
    summary="measure an editing method on drawn scenes that a verifier can judge",
    synopsis="ldmlab benchmark [kind=KIND] [method=NAME] [KEY=VALUE ...]",
    description=(
        "Draws scenes with the model, keeps those that the verifier reads as their captions ask, and edits them: "
        "kind=swap changes a word, insert says a size, delete takes an object out of the caption, reweight "
        "weakens a size without changing the caption. The verifier then says how often the change is there and "
        "how often everything else is as it was; pixels outside the edited object are compared with the source, "
        "and with what the same seed draws of the new caption without control.",
        "Prints a table and writes metrics.json with a manifest, edits.csv with a line an edit, and a contact "
        "sheet of sources over edits.",
    ),
    examples=(
        ("ldmlab benchmark kind=swap", "prompt-to-prompt, 200 edits"),
        ("ldmlab benchmark kind=swap method=mask_blend", "a baseline"),
        ("ldmlab benchmark experiment=prompt_to_prompt/insert ckpt=shapes/unet", "as the study has it"),
        ("ldmlab benchmark -m kind=swap,insert,delete sampler=ddim,unipc", "one result each"),
    ),
    devices="devices",
    run=run,
)
