"""Tiny trainings as jobs of the cluster, and what is known of them afterwards."""

from __future__ import annotations

import csv
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .cluster import Cluster, wait_until

STEPS, EVERY, VALIDATION = 60, 20, 25
"""Of a run; steps between two checkpoints, and between two validations."""
Event = Callable[[Cluster, str], object]


@dataclass(frozen=True)
class Kind:
    """How a job is started.

    Attributes:
        name: of the kind.
        srun: what starts its tasks; nothing for a batch script that is the task.
        options: of sbatch.
    """

    name: str
    srun: str = ""
    options: tuple[str, ...] = ("--time=10",)


ALONE = Kind("alone")
ONE_NODE = Kind("two_tasks", "srun ", ("--time=10", "--nodes=1", "--ntasks-per-node=2"))
TWO_NODES = Kind("two_nodes", "srun ", ("--time=10", "--nodes=2", "--ntasks-per-node=1"))


@dataclass
class Job:
    """A training in the queue.

    Attributes:
        cluster: where.
        kind: how it is started.
        folder: of the run.
        words: of the command.
    """

    cluster: Cluster
    kind: Kind
    folder: Path
    words: tuple[str, ...]
    number: str = ""

    def submit(self, *options: str) -> Job:
        """Queue it."""
        command = f"exec {self.kind.srun}{shlex.join((sys.executable, '-m', 'ldmlab', *self.words))}"
        self.number = self.cluster.submit(command, *self.kind.options, *options, name=self.folder.name)
        return self

    def reach(self, step: int) -> Job:
        """Wait until a step is done."""
        wait_until(lambda: self.step() >= step, 120, f"step {step} is not reached: {self.output}")
        return self

    def end(self, state: str = "COMPLETED") -> Job:
        """Wait until it has ended, in a state."""
        ended = self.cluster.wait(self.number, timeout=240)
        assert ended == state, f"{ended}: {self.output}"
        return self

    @property
    def output(self) -> str:
        """What all of its starts have printed."""
        return self.cluster.output(self.number)

    @property
    def restarts(self) -> int:
        """How often it was queued again."""
        return int(self.cluster.job(self.number)["Restarts"])

    def step(self) -> int:
        """How many are done; 0 where there is no table yet."""
        return 1 + max((int(row["step"]) for row in self.rows() if row["step"]), default=-1)

    def rows(self) -> list[dict[str, str]]:
        """The table of metrics, without times."""
        path = self.folder / "metrics.csv"
        if not path.exists():
            return []
        with open(path, newline="") as file:
            found = list(csv.DictReader(file))
        return [{k: v for k, v in row.items() if not k.startswith(("images_per_second", "cost/"))} for row in found]

    def samples(self) -> dict[int, list[str]]:
        """By step, the samples that it was made of: of steps that were done again, those of the last time."""
        return {step: sorted(rows) for step, rows in _by_step(self._seen()).items()}

    def done_again(self) -> int:
        """How many steps were done more than once."""
        counts = Counter(step for rank, _, step, _ in self._seen() if rank == 0)
        return sum(count - 1 for count in counts.values())

    def _seen(self) -> list[tuple[int, int, int, list[str]]]:
        found = []
        for path in sorted(self.folder.glob("seen-*.txt")):
            rank = int(path.name.split("-")[1])
            for line in path.read_text().splitlines():
                start, step, *rows = line.split()
                found.append((rank, int(start), int(step), rows))
        return found

    def weights(self) -> bytes:
        """Of the exported model."""
        return (self.folder / "model.safetensors").read_bytes()


def _by_step(seen: list[tuple[int, int, int, list[str]]]) -> dict[int, list[str]]:
    last: dict[tuple[int, int], list[str]] = {}
    for rank, _, step, rows in seen:
        last[rank, step] = rows
    found: dict[int, list[str]] = {}
    for (_, step), rows in sorted(last.items()):
        found[step] = [*found.get(step, []), *rows]
    return found
