"""A cluster: what SLURM is asked for when a job is queued. Its options are the yamls of conf/cluster/."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from ldmlab.configs.errors import UserError

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2}))?")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What is asked for; conf/cluster/default.yaml says of each field what it is.

    Raises:
        UserError: a time that cannot be read, or a number out of its range.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | int = "24:00:00"
    signal_delay_s: int = 120
    requeue: bool = True
    gpus_per_task: int = 1
    tasks_per_node: int | None = None
    cpus_per_task: int = 8
    mem_gb: float | None = None
    constraint: str | None = None
    exclude: str | None = None
    modules: Sequence[str] = ()
    setup: Sequence[str] = ()
    container: str | None = None
    container_mounts: Sequence[str] = ()
    srun_args: Sequence[str] = ()
    python: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        least = {"signal_delay_s": 0, "gpus_per_task": 0, "tasks_per_node": 1, "cpus_per_task": 1, "mem_gb": 0}
        for name, number in least.items():
            value = getattr(self, name)
            if value is not None and value < number:
                raise UserError(f"cluster.{name}={value}: give {number} or more")
        if self.minutes < 1:
            raise UserError(f"cluster.time={self.time}: give a minute or more")

    @property
    def minutes(self) -> int:
        """The time of a job, in the whole minutes that SLURM counts."""
        if isinstance(self.time, int):
            return self.time
        match = _TIME.fullmatch(self.time)
        if match is None:
            raise UserError(f"cluster.time={self.time}: give HOURS:MINUTES:SECONDS or DAYS-HOURS:MINUTES:SECONDS")
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return (days * 24 + hours) * 60 + minutes + ceil(seconds / 60)

    def parameters(self, nodes: int, tasks: int, name: str) -> dict[str, Any]:
        """What submitit's SlurmExecutor is asked for.

        Args:
            nodes: hosts of a job.
            tasks: processes on each.
            name: of the job, in the queue.
        """
        given = {
            "job_name": name,
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "time": self.minutes,
            "nodes": nodes,
            "ntasks_per_node": tasks,
            "gpus_per_node": self.gpus_per_task * tasks or None,
            "cpus_per_task": self.cpus_per_task,
            "mem": None if self.mem_gb is None else f"{ceil(self.mem_gb * 1024)}M",
            "constraint": self.constraint,
            "exclude": self.exclude,
            "signal_delay_s": min(self.signal_delay_s, self.minutes * 15),  # a quarter of a short time
            "setup": self.lines() or None,
            "srun_args": self.arguments() or None,
            "additional_parameters": {("requeue" if self.requeue else "no-requeue"): True, **self.more},
        }
        return {key: value for key, value in given.items() if value is not None}

    def lines(self) -> list[str]:
        """The lines of bash before the job."""
        return [*(f"module load {shlex.quote(module)}" for module in self.modules), *self.setup]

    def arguments(self) -> list[str]:
        """The arguments of srun."""
        image = [] if self.container is None else [f"--container-image={self.container}"]
        mounts = [f"--container-mounts={','.join(self.container_mounts)}"] if self.container_mounts else []
        return ["--kill-on-bad-exit=1", *image, *mounts, *self.srun_args]  # a task that was killed ends the others
