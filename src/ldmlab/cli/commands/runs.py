"""`ldmlab runs`: what has come out of runs, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command, Words
from ldmlab.configs.commands.runs import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Read the runs of a folder, and print a table."""
    from ldmlab.configs.errors import UserError
    from ldmlab.studio.pair_table import print_pair
    from ldmlab.studio.run_records import find_runs
    from ldmlab.studio.run_table import best, called, ordered, print_runs, write_csv

    root = Path(cfg.folder)
    found = find_runs(root)
    if not found:
        raise UserError(f"folder={root}: no run has written there; give the folder of a run, a sweep or several")
    runs = ordered(found, cfg.sort)
    figures = None if cfg.figures is None else list(cfg.figures)
    if cfg.compare is not None:
        one, other = (called(str(name), runs, root, "compare") for name in cfg.compare)
        print_pair(one, other, root, figures)
    else:
        baseline = best(runs, cfg.sort) if cfg.baseline is None else called(cfg.baseline, runs, root, "baseline")
        print_runs(runs, root, figures, baseline)
    if cfg.csv is not None:
        write_csv(Path(cfg.csv), runs, root)
        print(f"csv: {cfg.csv}")


COMMAND = Command(
    **vars(CHECKS),
    summary="show the figures of runs, and the settings that differ",
    synopsis="ldmlab runs [FOLDER] [sort=NAME] [baseline=RUN | compare=[RUN,RUN]] [csv=FILE]",
    description=(
        "Reads what every run below a folder has left there: its config, its status, and the last figures of "
        "metrics.csv, metrics.json or the offline files of W&B. Prints a line a run, the best first by the figure that "
        "it is judged by, with the settings that differ.",
        "A figure with a standard error that differs from the best run's, or that of baseline=RUN, by no more than "
        "noise is marked with ~, and one that was measured on or with something else by what that is. "
        "compare=[RUN,RUN] prints two runs, a line a figure, with the difference and its p-value.",
    ),
    examples=(
        ("ldmlab runs runs/train/2026-11-28_10-00-00", "a sweep"),
        ("ldmlab runs sort=-psnr csv=table.csv", "all runs, sorted by a figure, and as a file"),
        ("ldmlab runs runs/mine sort=optimizer.lr figures=[val/loss]", "by a setting"),
        ("ldmlab runs runs/scales compare=[0,2]", "whether two runs of a sweep differ by more than noise"),
    ),
    words=Words("folder", "folder", several=False),
    run=run,
)
