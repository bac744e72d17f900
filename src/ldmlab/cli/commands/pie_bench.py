"""`ldmlab pie_bench`: measure editing methods on a folder in PIE-Bench's layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command, Words
from ldmlab.configs.commands.pie_bench import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> float:
    """Edit and measure; print a table beside the published one, write the report, return a sweep's figure."""
    from ldmlab.cli.joined import joined
    from ldmlab.cli.tables import figure_of, print_rows
    from ldmlab.configs.pie_bench import PieRun, measure_from
    from ldmlab.evaluation.pie_bench.report import paper_table, told, write_report
    from ldmlab.evaluation.shares import Kept, Shares
    from ldmlab.models.loading import load_latent_diffusion
    from ldmlab.precision import pick_precision

    edits = PieRun.of(cfg)
    folder = Path(cfg.output_dir)
    kept = Kept(folder / "measured")
    with joined(cfg) as ranks:
        loaded = load_latent_diffusion(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
        loaded.model.to(pick_precision(cfg.precision, cfg.device).device)
        found = measure_from(cfg, edits, loaded, Shares(ranks, kept))
    if ranks.is_first:
        write_report(folder, found.measured, found.result, found.reasons, found.settings)
        kept.forget()
        print_rows(paper_table(found.measured), f"{loaded.path}, {len(found.measured.cases)} edits")
        for line in (*told(found.reasons), *found.result["notes"], f"metrics: {folder / 'metrics.json'}"):
            print(line)
    return figure_of(found.result["metrics"], cfg.figure)


COMMAND = Command(
    **vars(CHECKS),
    summary="measure editing methods on given pictures as PIE-Bench does",
    synopsis="ldmlab pie_bench FOLDER [methods=[NAME,...]] [KEY=VALUE ...]",
    description=(
        "FOLDER is in the layout of PIE-Bench (Ju et al. 2023): mapping_file.json names pictures in "
        "annotation_images/, each with a prompt of what it shows, one of what it is to show, and a mask of where it "
        "may change. Each method edits each picture, at the size that the model draws.",
        "Measured are the distance of structure, what is left as it was outside the mask (PSNR, LPIPS, MSE, SSIM), and "
        "how well the picture and its edited part go with the prompt (CLIP). Networks come from local files: "
        "edit_metric.structure_distance.weights, edit_metric.lpips.weights, "
        "edit_metric.clip_similarity.extractor.weights. Without them the first two take EfficientNet-Lite0, under "
        "names that say so, and the last is left out.",
        "methods is a list of what one would write after `ldmlab edit method=`, with settings of the method and of "
        "its inversion. A method that needs a mask is given that of the benchmark.",
        "Prints a row a method, with standard errors, below the rows of the paper, and says what does not compare. "
        "Writes metrics.json with a manifest, table.csv and table.md, categories.csv with a row for each kind of edit, "
        "edits.csv with each edit, a contact sheet, and pictures/ with the edited and given pictures and the masks.",
    ),
    examples=(
        ("ldmlab pie_bench data/pie_bench ckpt=runs/import/sd/model.safetensors", "all methods, all edits"),
        ("ldmlab pie_bench data/pie_bench n=4 categories=[1,6]", "four edits each of two kinds"),
        ("""ldmlab pie_bench data/pie_bench 'methods=["sdedit method.strength=0.4",mask_blend]'""", "two methods"),
        ("ldmlab pie_bench data/pie_bench devices=auto output_dir=runs/mine", "on all GPUs; again after a kill"),
    ),
    words=Words("path", "folder", several=False),
    devices="devices",
    run=run,
)
