"""What goes wrong on one of two nodes ends the whole job, in one line, and nothing waits for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cluster import Cluster
from .runs import ALONE, TWO_NODES, Job

Training = Callable[..., Job]


def told(job: Job) -> list[str]:
    """The lines of ldmlab's own on stderr."""
    return [line for line in job.output.splitlines() if line.startswith("ldmlab: ")]


@pytest.mark.parametrize(
    ("fault", "rank", "words"),
    [("memory", 1, "out of memory"), ("disk", 0, "no space left"), ("kill", 1, "another process of this command")],
)
def test_a_fault_of_one_rank_ends_all(fault: str, rank: int, words: str, training: Training) -> None:
    callback = "+callbacks.fault._target_=faults.Fault"
    job = training(fault, TWO_NODES, callback, f"+callbacks.fault.kind={fault}", f"+callbacks.fault.rank={rank}")
    job.submit().end("FAILED")
    (line,) = told(job)
    assert words in line
    assert "Traceback" not in job.output


@pytest.mark.parametrize(
    ("word", "words"), [("data.batch_size=7", "data.batch_size=7"), ("backbone.width=3", "backbone")]
)
def test_bad_input_is_told_once_by_all_tasks(word: str, words: str, training: Training) -> None:
    job = training(word.partition("=")[0], TWO_NODES, word).submit()
    job.end("FAILED")
    (line,) = told(job)
    assert words in line


def test_two_jobs_in_one_folder(training: Training, cluster: Cluster) -> None:
    """The second is refused, whatever its node; the first does not notice."""
    first, second = (training("shared", ALONE, "trainer.max_steps=5000") for _ in range(2))
    first.submit().reach(5)
    second.submit(f"--exclude={cluster.job(first.number)['BatchHost']}").end("FAILED")
    (line,) = told(second)
    assert "writes there since" in line
    step = first.step()
    first.reach(step + 1)
    cluster.ask("scancel", first.number)
    first.end("CANCELLED")


def test_a_slurmd_that_is_gone_while_its_job_runs_on(training: Training, cluster: Cluster) -> None:
    """SLURM starts the job again elsewhere. That start waits for the first, and finds its work done."""
    job = training("slurmd", ALONE, "trainer.max_steps=500").submit().reach(10)
    node = cluster.job(job.number)["BatchHost"]
    cluster.kill_slurmd(node)
    try:
        job.end()
    finally:
        cluster.start_node(node)
    assert "an earlier start of this job" in job.output
    assert (job.restarts, job.done_again(), len(job.samples())) == (1, 0, 500)
