"""`ldmlab jobs`: how far jobs are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command, Words
from ldmlab.configs.commands.jobs import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Ask SLURM and the folders of the jobs, and print a table."""
    from ldmlab.cli.job_table import find_jobs, print_jobs

    root = Path(cfg.folder)
    jobs = find_jobs(root)
    print_jobs([job for job in jobs if cfg.all or not job.is_done], root, len(jobs))


COMMAND = Command(
    **vars(CHECKS),
    summary="show how far jobs are: state, step, time left, last figure",
    synopsis="ldmlab jobs [FOLDER] [all=true]",
    description=(
        "Shows the jobs that `ldmlab submit` has queued below a folder, and runs there that say they are running, on "
        "whatever host: the state in SLURM's queue or, where a job has left it, that of its own status; how far it is; "
        "how long it will take, as fast as it has been; and the last value of its figure.",
    ),
    examples=(
        ("ldmlab jobs runs", "all jobs below runs/ that are not done"),
        ("ldmlab jobs runs/sweep all=true", "also those that are"),
    ),
    words=Words("folder", "folder", several=False),
    run=run,
)
