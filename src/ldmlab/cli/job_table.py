"""Jobs side by side: what SLURM says of them, and what they say themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ldmlab.cli.jobs_file import NAME, read_jobs
from ldmlab.cli.submission import Queued, past_states, queue_states
from ldmlab.studio.run_records import RunRecord, find_runs, named, natural, read_run, subfolders

MOST_TROUBLES = 10
"""Jobs of which more is told than a line of the table."""
ENDED = ("done", "failed", "stopped", "died")
DEEP = 6
"""Folders below the one that is asked for."""


@dataclass(frozen=True)
class JobRecord:
    """A job.

    Attributes:
        run: what its folder tells.
        queued: what was put into the queue; None of a run that was started otherwise.
        slurm: its state there, in small letters; empty where it is not known.
    """

    run: RunRecord
    queued: Queued | None = None
    slurm: str = ""

    @property
    def id(self) -> str:
        """The number of the job in SLURM; empty of a run outside of it."""
        if self.queued is not None:
            return self.queued.id
        status = self.run.status
        return "" if status is None else status.slurm_job_id or ""

    @property
    def state(self) -> str:
        """The queue's, while the job is in it and does not run; then its own, unless it was killed without a word."""
        own = self.run.state
        if self.slurm in ("", "completed") or (self.slurm == "running" and own == "running"):
            return "ended" if own == "waiting" and self.queued is not None else own
        if self.slurm == "running":
            return "starting"
        return own if own in ENDED[:3] and self.slurm not in ("pending", "requeued", "completing") else self.slurm

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.state == "done"

    @property
    def left(self) -> str:
        """Time until it is done, as it said last."""
        status = self.run.status
        if self.state != "running" or status is None or status.left is None:
            return ""
        return str(timedelta(seconds=max(0, round(status.left - status.age()))))

    @property
    def step(self) -> str:
        """How far it is."""
        status = self.run.status
        if status is None or not (status.step or status.steps):
            return ""
        doing = f"{status.doing} " if status.doing not in (None, "training") and self.state == "running" else ""
        return f"{doing}{status.step}" if status.steps is None else f"{doing}{status.step}/{status.steps}"


def find_jobs(folder: Path) -> list[JobRecord]:
    """The jobs that were queued from a folder or one below it, and the runs there that say that they are running."""
    queued = [job for path in _files(folder, DEEP) for job in read_jobs(path)]
    states = (queue_states() or {}) if queued else {}
    states |= past_states([job.id for job in queued if job.id not in states])
    jobs = [JobRecord(read_run(job.folder), job, states.get(job.id, "").lower()) for job in queued]
    known = {job.folder.resolve() for job in queued}
    others = [run for run in find_runs(folder) if run.folder.resolve() not in known]
    jobs += [JobRecord(run) for run in others if run.status is not None and run.status.state in ("running", "requeued")]
    return sorted(jobs, key=lambda job: natural(job.run.folder))


def print_jobs(jobs: Sequence[JobRecord], root: Path, total: int) -> None:
    """Print a line a job, and below it what failed with what.

    Args:
        jobs: to be shown.
        root: what their folders are named from.
        total: how many there are.
    """
    table = Table()
    for column in ("job", "run", "state", "step", "left", "figure"):
        table.add_column(column, justify="right" if column in ("left", "figure") else "left", overflow="fold")
    for job in jobs:
        figure = "" if job.run.figure is None else "{} {:.4g}".format(*job.run.figure)
        table.add_row(job.id, named(job.run.folder, root.absolute()), job.state, job.step, job.left, figure)
    console = Console(width=None if Console().is_terminal else 160)
    if jobs:
        console.print(table)
    troubled = [job for job in jobs if job.state not in ("done", "running", "pending", "starting")]
    for job in troubled[:MOST_TROUBLES]:
        for line in _troubles(job):
            print(f"{job.id or named(job.run.folder, root)}: {line}")
    if len(troubled) > MOST_TROUBLES:
        print(f"... and {len(troubled) - MOST_TROUBLES} more that are neither done nor running")
    done = f"{total - len(jobs)} done; " if total > len(jobs) else ""
    print(f"{done}{len(jobs)} of {total} jobs shown" if total else f"no jobs below {root}")


def _troubles(job: JobRecord) -> Iterator[str]:
    if job.run.status is not None and job.run.status.error:
        yield job.run.status.error
    if job.queued is not None:
        yield f"log: {job.queued.errors}"


def _files(folder: Path, deep: int) -> Iterator[Path]:
    """The folders from which jobs were queued."""
    if (folder / NAME).is_file():
        yield folder
    if deep:
        for path in subfolders(folder):
            yield from _files(path, deep - 1)
