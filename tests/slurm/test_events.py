"""Whatever SLURM does to a training, its weights and its table become those of one that nothing happened to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cluster import Cluster
from .runs import ALONE, EVERY, ONE_NODE, TWO_NODES, Job, Kind

KINDS = [ALONE, ONE_NODE, TWO_NODES]
HERE = 27
"""The step at which something happens: after a checkpoint and a validation, before the next."""
Whole = Callable[[Kind], Job]
Training = Callable[..., Job]

pytestmark = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def require_same(job: Job, whole: Job, again: int = 1) -> None:
    """The bytes of the weights, the rows of the table, the samples of each step, so many of which were done again."""
    assert job.weights() == whole.weights()
    assert job.rows() == whole.rows()
    assert job.samples() == whole.samples()
    assert job.done_again() <= again


def test_requeue(kind: Kind, training: Training, whole: Whole, cluster: Cluster) -> None:
    job = training("requeue", kind).submit().reach(HERE)
    cluster.ask("scontrol", "requeue", job.number)
    require_same(job.end(), whole(kind))
    assert job.restarts == 1


@pytest.mark.parametrize("steps", [(HERE,), (10, HERE, 45)], ids=["one", "three"])
def test_warnings(steps: tuple[int, ...], kind: Kind, training: Training, whole: Whole, cluster: Cluster) -> None:
    """What `--signal=USR1@120` and submitit (USR2) have SLURM send."""
    job = training(f"warnings-{len(steps)}", kind).submit()
    for number, step in enumerate(steps):
        job.reach(step)
        name = ("USR1", "USR2")[number % 2]
        cluster.ask("scancel", f"--signal={name}", *([] if kind.srun else ["--batch"]), job.number)
    require_same(job.end(), whole(kind), again=len(steps))
    assert job.restarts == len(steps)


def test_cancelled(kind: Kind, training: Training, whole: Whole, cluster: Cluster) -> None:
    """It is saved, but not queued again; the same job, given again, goes on."""
    job = training("scancel", kind).submit().reach(HERE)
    cluster.ask("scancel", job.number)
    job.end("CANCELLED")
    assert job.restarts == 0
    require_same(job.submit().end(), whole(kind))


def slow(pause: float) -> tuple[str, ...]:
    """So that what happens a while after that step happens while the job runs."""
    return f"+callbacks.seen.pause={pause}", f"+callbacks.seen.after={HERE}"


def test_preempted(kind: Kind, training: Training, whole: Whole, cluster: Cluster) -> None:
    """With a time of grace, of which tasks of srun use only as much as it takes to save; a script learns of its end."""
    job = training("preempt", kind, *slow(0.5)).submit().reach(HERE)
    cluster.submit("sleep 1", "--partition=high", "--nodes=3", "--exclusive", name="urgent")
    require_same(job.end(), whole(kind))
    assert job.restarts == 1


def test_time_limit(kind: Kind, training: Training, whole: Whole, cluster: Cluster) -> None:
    """Without a warning before it."""
    job = training("limit", kind, *slow(4)).submit().reach(HERE)
    cluster.ask("scontrol", "update", f"JobId={job.number}", "TimeLimit=1")
    require_same(job.end(), whole(kind))
    assert job.restarts == 1


def test_killed(kind: Kind, training: Training, whole: Whole, cluster: Cluster) -> None:
    """SIGKILL, as when memory runs out. Nothing could be saved: the steps since the last checkpoint are done again."""
    job = training("killed", kind).submit().reach(HERE)
    cluster.ask("scancel", "--signal=KILL", *([f"{job.number}.0"] if kind.srun else ["--batch", job.number]))
    job.end("FAILED")
    cluster.ask("scontrol", "requeue", job.number)
    require_same(job.end(), whole(kind), again=EVERY)


def test_killed_node(kind: Kind, training: Training, whole: Whole, cluster: Cluster) -> None:
    """SLURM itself queues such a job again, once it misses the node."""
    job = training("node", kind).submit().reach(HERE)
    node = cluster.job(job.number)["BatchHost"]
    cluster.kill_node(node, job.number)
    try:
        require_same(job.end(), whole(kind), again=EVERY)
    finally:
        cluster.start_node(node)
    assert job.restarts == 1
