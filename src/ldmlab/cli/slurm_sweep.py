"""The jobs of a command in SLURM: queued and left there, or waited for as a launcher of Hydra does."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from ldmlab.cli.cluster import Cluster
from ldmlab.cli.devices import asked_ranks
from ldmlab.cli.jobs_file import add_jobs, live_jobs
from ldmlab.cli.run import Run
from ldmlab.cli.submission import Ask, Queued, queue, queue_states
from ldmlab.cli.sweep_job import is_done, told_value
from ldmlab.configs.compose import as_job
from ldmlab.configs.quoting import quoted

log = logging.getLogger(__name__)
NOT_HANDED_ON = ("hydra/launcher", "hydra/sweeper", "cluster@hydra", "hydra.launcher", "hydra.sweep", "hydra.mode",
                 "hydra.run.dir", "hydra.job.name", "hydra.searchpath")  # fmt: skip
"""Overrides of Hydra's node that make the jobs, and are not theirs."""
FIRST, MOST = 1.0, 10.0
"""Seconds between two looks at the queue: at first, and later."""


def words_of(run: Run, config: DictConfig, lines: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The command line of a job.

    Args:
        run: of which it is one.
        config: what its jobs have in common.
        lines: its overrides.
        folder: where it writes.
    """
    lines = [line for line in lines if line.lstrip("+").partition("=")[0] != "output_dir"]
    given = {line.lstrip("+").partition("=")[0] for line in lines}
    goes_on = [line for line in run.command.when_requeued if line.partition("=")[0] not in given]
    hydras = [
        line for line in map(str, config.hydra.overrides.hydra) if not line.lstrip("+~").startswith(NOT_HANDED_ON)
    ]
    written = [f"output_dir={quoted(str(folder))}"] if "output_dir" in config else []
    return run.name, *_flags(config), *lines, *goes_on, *hydras, *written


def _flags(config: DictConfig) -> list[str]:
    """The user's own configs: a folder of theirs, and one in the place of the command's."""
    sources = config.hydra.runtime.config_sources
    own = [str(each.path) for each in sources if each.provider in ("command-line", "hydra.searchpath in command-line")]
    return [f"--config-dir={path.removeprefix('file://')}" for path in own]


def ask(run: Run, config: DictConfig, job: DictConfig, lines: Sequence[str], folder: Path, cluster: Cluster) -> Ask:
    """A job to be queued.

    Args:
        run: of which it is one.
        config: what its jobs have in common.
        job: its own config, or one with as many devices.
        lines: its overrides.
        folder: where it writes.
        cluster: where it runs.
    """
    nodes, tasks = asked_ranks(run.command, job, cluster.tasks_per_node or 1)
    return Ask(words_of(run, config, lines, folder), folder, nodes, tasks)


def asks_of_sweep(run: Run, config: DictConfig, cluster: Cluster) -> list[Ask]:
    """The jobs of a sweep that are not done yet."""
    sweep = run._sweep
    assert sweep is not None
    assert sweep.jobs is not None
    found = []
    for job in sweep.jobs:
        before = sweep.folders.get(job.folder)
        if before is None or not is_done(before, job.written(), run):
            found.append(ask(run, config, job.kind.config, job.lines, job.folder, cluster))
    return found


def put(asks: Sequence[Ask], cluster: Cluster, root: Path, at_once: int | None) -> tuple[list[Queued], list[Queued]]:
    """Queue jobs, but for those that are in the queue already, and note them in the folder of the run or the sweep.

    Returns:
        The new ones, and the others.

    Raises:
        UserError: SLURM refuses.
    """
    folders = {job.folder for job in asks}
    live = [job for job in live_jobs(root) if job.folder in folders]
    there = {job.folder for job in live}
    asks = [job for job in asks if job.folder not in there]
    queued = queue(asks, cluster, root, at_once) if asks else []
    if queued:
        add_jobs(root, queued)
    return queued, live


def run_in_slurm(
    config: DictConfig, overrides: Sequence[Sequence[str]], first: int, cluster: Cluster, at_once: int
) -> list[JobReturn]:
    """Queue the jobs of a sweep, and wait for them.

    Args:
        config: what they have in common.
        overrides: of each.
        first: the number of the first of them in the sweep.
        cluster: where they run.
        at_once: how many may run at a time.

    Returns:
        The figure of each; None of one that is not done, as its status tells.
    """
    run = Run.current
    assert run is not None
    assert run._sweep is not None
    jobs = [_job(run, config, lines, number) for number, lines in enumerate(overrides, first)]
    asks = [ask(run, config, job, lines, folder, cluster) for (job, folder), lines in zip(jobs, overrides, strict=True)
            if not _is_done(run, job, folder)]  # fmt: skip
    if asks:
        queued, live = put(asks, cluster, Path(str(config.hydra.sweep.dir)).absolute(), at_once)
        waited = [*live, *queued]
        log.info("in SLURM's queue as %s; logs: %s", ", ".join(_arrays(waited)), waited[0].log.parent)
        _wait(waited)
    return [_returned(lines, folder) for (_, folder), lines in zip(jobs, overrides, strict=True)]


def _job(run: Run, config: DictConfig, lines: Sequence[str], number: int) -> tuple[DictConfig, Path]:
    """The config of a job, checked, and its folder."""
    assert run.loader is not None
    assert run._sweep is not None
    job = run.loader.load_sweep_config(config, list(lines))
    with as_job(job, number) as folder:
        if run._sweep.jobs is None:
            run.check(job)
        return job, folder


def _is_done(run: Run, job: DictConfig, folder: Path) -> bool:
    assert run._sweep is not None
    before = run._sweep.folders.get(folder)
    if before is None:
        return False
    own = OmegaConf.masked_copy(job, [str(key) for key in job if key != "hydra"])
    if "output_dir" in own:
        own.output_dir = str(folder)
    return is_done(before, OmegaConf.to_yaml(own), run)


def _arrays(queued: Sequence[Queued]) -> list[str]:
    return list(dict.fromkeys(job.id.partition("_")[0] for job in queued))


def _wait(queued: Sequence[Queued]) -> None:
    """Until none is in the queue; a controller that does not answer for a while ends nothing."""
    pause = FIRST
    try:
        while (states := queue_states()) is None or any(job.id in states for job in queued):
            time.sleep(pause)
            pause = min(MOST, pause * 1.2)
    except BaseException:
        log.warning("the jobs stay in the queue; `scancel %s` takes them out", " ".join(_arrays(queued)))
        raise


def _returned(lines: Sequence[str], folder: Path) -> JobReturn:
    value = told_value(folder)
    returned = JobReturn(overrides=list(lines), working_dir=str(folder), status=JobStatus.COMPLETED)
    returned.return_value = None if value is None or math.isnan(value) else value
    return returned
