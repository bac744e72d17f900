"""The end of a sweep: a table of its jobs, and whether all of them are done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ldmlab.cli.errors import JobsFailedError


def end_sweep(folders: Sequence[Path], root: Path) -> None:
    """Print a table of the jobs of a sweep.

    Args:
        folders: of the jobs, in their order.
        root: the folder of the sweep.

    Raises:
        JobsFailedError: not all are done.
    """
    from ldmlab.studio.run_records import read_run
    from ldmlab.studio.run_table import named, print_runs

    runs = [read_run(folder) for folder in folders]
    if not any(run.status for run in runs):  # a command that keeps no record, or a launcher that could not begin
        return
    print(f"sweep: {root}")
    print_runs(runs, root)
    failed = [f"{named(run.folder, root)} ({run.state})" for run in runs if run.state != "done"]
    if failed:
        shown = ", ".join(failed[:8]) + (f" and {len(failed) - 8} more" if len(failed) > 8 else "")
        advice = "the same command again runs these alone"
        raise JobsFailedError(f"{len(failed)} of {len(runs)} jobs are not done: {shown}; {advice}", 1)
