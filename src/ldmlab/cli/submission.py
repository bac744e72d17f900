"""Jobs on their way into the queue of SLURM, through submitit, and what is known of them there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ldmlab.cli.cluster import Cluster
from ldmlab.configs.errors import UserError, one_line

LOGS = "slurm"
"""Folder of the logs and of what submitit keeps, in that of the run or the sweep."""
PATIENCE = 30
"""Seconds that a command of SLURM may take."""


@dataclass(frozen=True)
class Ask:
    """A job to be queued.

    Attributes:
        words: of its command line, the name of the command first.
        folder: where it writes.
        nodes: hosts that it takes.
        tasks: processes on each.
    """

    words: tuple[str, ...]
    folder: Path
    nodes: int
    tasks: int


@dataclass(frozen=True)
class Queued:
    """A job in the queue.

    Attributes:
        id: of SLURM; `<array>_<task>` within an array.
        folder: where it writes.
        log: what its first process prints.
        errors: what it prints on stderr.
    """

    id: str
    folder: Path
    log: Path
    errors: Path


def run_words(words: Sequence[str]) -> None:
    """What a job does: `ldmlab WORDS...` in this process, so that signals come to the handlers of the command."""
    from ldmlab.cli.main import main

    code = main(list(words))
    if code:
        sys.exit(code)


def queue(jobs: Sequence[Ask], cluster: Cluster, root: Path, at_once: int | None) -> list[Queued]:
    """Put jobs into the queue, in their order.

    Args:
        jobs: those with other numbers of processes than the one before go into an array of their own.
        cluster: what is asked for.
        root: the folder of the run or the sweep, where the logs go.
        at_once: queue them as an array, of which so many may run at a time; None for a job each.

    Raises:
        UserError: there is no SLURM, or it refuses.
    """
    require_slurm()
    folder, found = root / LOGS, []
    was_there = folder.exists()
    try:
        for (nodes, tasks), same in groupby(jobs, key=lambda job: (job.nodes, job.tasks)):
            asks = list(same)
            asked = cluster.parameters(nodes, tasks, f"ldmlab-{asks[0].words[0]}")
            made = zip(asks, _submit(asks, asked, cluster, folder, at_once), strict=True)
            found += [Queued(job.job_id, ask.folder, job.paths.stdout, job.paths.stderr) for ask, job in made]
    except BaseException:
        if not was_there and not found:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return found


def _submit(
    jobs: Sequence[Ask], parameters: dict[str, Any], cluster: Cluster, folder: Path, at_once: int | None
) -> Any:
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = submitit.SlurmExecutor(folder=folder, python=cluster.python)
    executor.update_parameters(**parameters, **({} if at_once is None else {"array_parallelism": at_once}))
    try:
        with redirect_stderr(StringIO()), nullcontext() if at_once is None else executor.batch():
            return [executor.submit(run_words, job.words) for job in jobs]
    except (FailedJobError, FailedSubmissionError, subprocess.SubprocessError, OSError) as error:
        raise UserError(_refused(error, cluster)) from error


def _refused(error: Exception, cluster: Cluster) -> str:
    """What sbatch says, and which partitions there are where that is what it says."""
    said = one_line(str(error)).replace("sbatch: error: ", "")
    if "partition" in said.lower() and cluster.partition is not None:
        there = ", ".join(dict.fromkeys(_lines("sinfo", "-h", "-o", "%R") or ()))
        known = f"; there is {there}" if there else ""
        return f"cluster.partition={cluster.partition}: SLURM refuses it ({said}){known}"
    return f"SLURM refuses the job: {said}"


def require_slurm() -> None:
    """Refuse to queue where that cannot be done.

    Raises:
        UserError: submitit is not installed, or no SLURM is.
    """
    from importlib.util import find_spec

    if find_spec("submitit") is None:
        raise UserError("submitit is not installed, through which jobs are queued; pip install 'ldmlab[slurm]'")
    lacking = [name for name in ("sbatch", "srun") if shutil.which(name) is None]
    if lacking:
        names = " and ".join(lacking)
        raise UserError(f"{names}: no such command; jobs are queued on the login node of a SLURM cluster")


def require_launcher(config: DictConfig) -> None:
    """Refuse a sweep whose jobs are to be queued where that cannot be done.

    Raises:
        UserError: as `require_slurm`.
    """
    if str(config.hydra.launcher._target_).endswith(".SlurmLauncher"):
        require_slurm()


def queue_states() -> dict[str, str] | None:
    """The states of the user's jobs that wait or run, by their ids; None where SLURM does not answer."""
    lines = _lines("squeue", "-h", "-r", "-u", str(os.getuid()), "-o", "%i|%T")
    return None if lines is None else dict(line.split("|", 1) for line in lines if "|" in line)


def past_states(ids: Sequence[str]) -> dict[str, str]:
    """How jobs ended that are in the queue no more, by their ids, where SLURM keeps accounts."""
    arrays = sorted({each.partition("_")[0] for each in ids})
    if not arrays or shutil.which("sacct") is None:
        return {}
    lines = _lines("sacct", "-n", "-X", "-P", "-o", "JobID,State", "-j", ",".join(arrays)) or []
    return {line.split("|")[0]: line.split("|")[1].split(" ")[0] for line in lines if "|" in line}


def _lines(*words: str) -> list[str] | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None
