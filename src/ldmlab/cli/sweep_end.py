"""The end of a sweep: a table of its jobs, and whether all of them are done."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from ldmlab.cli.errors import JobsFailedError

PAUSE = 5.0
"""Seconds between two looks at the queue."""
_JOB = re.compile(r"\d+(_\d+)?")


def end_sweep(folders: Sequence[Path], root: Path, error: Exception | None = None) -> None:
    """Print a table of the jobs of a sweep.

    Args:
        folders: of the jobs, in their order.
        root: the folder of the sweep.
        error: what the launcher ended with.

    Raises:
        JobsFailedError: not all are done.
    """
    from ldmlab.studio.run_records import named, read_run
    from ldmlab.studio.run_table import print_runs

    killed = error is not None and type(error).__module__.startswith("submitit.")
    if killed:
        _wait_for_others(root)
    runs = [read_run(folder) for folder in folders]
    if not any(run.status for run in runs) and not killed:  # a command without a record, or one that could not begin
        return
    print(f"sweep: {root}")
    print_runs(runs, root)
    failed = [f"{named(run.folder, root)} ({run.state})" for run in runs if run.state != "done"]
    if failed:
        shown = ", ".join(failed[:8]) + (f" and {len(failed) - 8} more" if len(failed) > 8 else "")
        advice = "the same command again runs these alone"
        raise JobsFailedError(f"{len(failed)} of {len(runs)} jobs are not done: {shown}; {advice}", 1)


def _wait_for_others(root: Path) -> None:
    """Of hydra-submitit-launcher, which is at its end with the first job that was killed, while others run."""
    from ldmlab.cli.submission import queue_states

    ids = {path.name for path in root.glob(".submitit/*") if _JOB.fullmatch(path.name)}
    while ids & set(queue_states() or ()):
        time.sleep(PAUSE)
