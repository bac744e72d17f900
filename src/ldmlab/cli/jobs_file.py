"""What was put into the queue of SLURM from a folder: `jobs.json` in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ldmlab.atomic import write_json
from ldmlab.cli.submission import Queued, queue_states
from ldmlab.files import read_text

NAME = "jobs.json"


def read_jobs(folder: Path) -> list[Queued]:
    """The jobs of a folder; none where it does not say."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        known = json.loads(read_text(folder / NAME, 2**24))["queued"]
        return [Queued(str(each["id"]), *(Path(each[key]) for key in ("folder", "log", "errors"))) for each in known]
    return []


def add_jobs(folder: Path, jobs: Sequence[Queued]) -> None:
    """Note jobs, in the place of earlier ones that had the same folders."""
    again = {job.folder for job in jobs}
    known = [*(job for job in read_jobs(folder) if job.folder not in again), *jobs]
    write_json(folder / NAME, {"queued": [{key: str(value) for key, value in vars(job).items()} for job in known]})


def live_jobs(folder: Path) -> list[Queued]:
    """The jobs of a folder that are in the queue or running."""
    jobs = read_jobs(folder)
    states = (queue_states() or {}) if jobs else {}
    return [job for job in jobs if job.id in states]
